/*
 * bus.h
 *	  One ring in shared memory that carries every message to every listener, in one total order.
 *
 * Many producers (listeners and decoders), every listener reads all of it. A producer copies its records into the
 * ring inside one LWLock with nothing in between that can throw; a reader copies whole records out under the same
 * lock in shared mode, so that it never looks at bytes that are being overwritten. A reader that falls behind by
 * more than the ring is lapped: it is told so and goes on at the oldest record that is left.
 *
 * Positions are bytes since server start and never wrap:
 *
 *	  oldest <= read position of a listener <= end        end - oldest <= size of the ring
 *
 * Nothing here throws or allocates, but for bus_reader_attach.
 */
#ifndef REALTIME_BUS_H
#define REALTIME_BUS_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"

#include "shared/history.h"
#include "wire/slice.h"

typedef enum BusKind
{
	BUS_PAD,					/* fills the end of the ring; readers never see it */
	BUS_BROADCAST,				/* a message for the members of a topic */
	BUS_DATABASE_WAITING,		/* messages from the database are not delivered yet; payload is the text why */
	BUS_DATABASE_READY,			/* messages from the database are delivered from here on */
	BUS_GAP,					/* messages were lost; payload is the text for the members (topic empty: of every topic) */
	BUS_PRESENCE_TRACK,			/* origin is present with key event and meta payload, since committed_at; id begins with the serial of its connection, form is origin.listener's own business */
	BUS_PRESENCE_UNTRACK,		/* origin no longer is; form is origin.listener's own business */
	BUS_PRESENCE_LINGER,		/* likewise, but origin's connection is lost; it may come back under its key */
	BUS_PRESENCE_GONE,			/* nobody of origin.listener is present any more */
	BUS_PRESENCE_ASK,			/* origin.listener wants to know who is; form 1: it has just started */
	BUS_PRESENCE_TOLD,			/* origin.listener has told listener number origin.channel of all of its own */
	BUS_REPLAY,					/* a stored message for the join that asked question number commit_lsn of origin.listener */
	BUS_REAUTHORIZE,			/* judge the members of this topic again (topic empty: of every private topic) */
	BUS_CHANGES_ASK,			/* the changes worker has started: listeners send what their channels subscribe */
	BUS_CHANGES_ANSWER,			/* to origin's subscription: form says what, payload is the text of a BUS_ANSWER_REFUSED or _ERROR */
	BUS_CHANGES_STATE,			/* to all live subscriptions: payload is the text why changes are missing; empty: they flow again */
	BUS_CHANGE					/* a change for subscriptions of origin.listener; form, event and payload as below */
} BusKind;

typedef enum BusForm
{
	BUS_FORM_TEXT,				/* payload is the whole JSON object that members get as event "broadcast" */
	BUS_FORM_JSON,				/* a user broadcast: event and a JSON payload (kind 4, encoding 1) */
	BUS_FORM_BINARY				/* a user broadcast: event and raw bytes (kind 4, encoding 0) */
} BusForm;

/* form of a BUS_CHANGES_ANSWER: what has become of subscription origin.channel, asked for as version (first four bytes of id) */
typedef enum BusAnswer
{
	BUS_ANSWER_LIVE,			/* changes that commit from now on are delivered */
	BUS_ANSWER_REFUSED,			/* the client's parameters are wrong: there is no subscription */
	BUS_ANSWER_ERROR			/* it lives, but this time something of it could not be delivered */
} BusAnswer;

/*
 * A BUS_CHANGE has as form the ChangeAction (0 INSERT, 1 UPDATE, 2 DELETE), as event the DATA object of PROTOCOL 6.6, and
 * as payload who gets it: groups one after the other, each of them a BusChangeGroup, then that many ids (uint32, ascending, all
 * of them the channel's entries that match) and that many receivers (BusReceiver).
 */
typedef struct BusChangeGroup
{
	uint32		ids;
	uint32		receivers;
} BusChangeGroup;

typedef struct BusReceiver
{
	uint32		connection;		/* slot */
	uint32		generation;
	uint32		subscription;	/* the listener's number */
} BusReceiver;

/* Where a client's broadcast came from, so that the sender can be skipped or acknowledged. */
typedef struct BusOrigin
{
	int16		listener;		/* -1: not from a client */
	bool		self;			/* the sending channel wants its own copy */
	bool		ack;			/* the sending channel wants a reply with ref */
	uint32		connection;		/* slot and generation are the origin listener's own business */
	uint32		connection_generation;
	uint32		channel;
} BusOrigin;

typedef struct BusRecord
{
	uint8		kind;			/* BusKind */
	uint8		form;			/* BusForm, of a BUS_BROADCAST; or as kind says */
	bool		is_private;
	bool		has_id;
	uint16		node;			/* 0: this one */
	uint8		id[16];			/* row of realtime.messages, or as kind says, if has_id */
	BusOrigin	origin;
	XLogRecPtr	commit_lsn;		/* InvalidXLogRecPtr if it does not come from the WAL */
	TimestampTz committed_at;	/* 0 if it does not come from the WAL */
	HistoryMark mark;			/* number of a BUS_BROADCAST in its topic, given by bus_append */
	uint64		position;		/* on the bus; set by bus_next */
	Slice		topic;			/* without "realtime:" */
	Slice		event;
	Slice		payload;
	Slice		ref;			/* raw JSON token for the reply if origin.ack, else empty */
	Slice		join_ref;		/* unused by readers other than the origin; empty if not needed */
} BusRecord;

/*
 * What the message decoder has delivered: everything up to done, and of the transaction that commits at commit the
 * first rows rows. Lives beside the ring and is changed under its lock together with the records, so that a decoder
 * that starts again knows exactly where to go on.
 */
typedef struct BusProgress
{
	XLogRecPtr	done;			/* end of the last commit that was delivered whole; Invalid: nothing yet */
	XLogRecPtr	commit;			/* LSN of the commit record that is being delivered; Invalid: none */
	uint32		rows;			/* of that transaction, in the order of the decoder */
} BusProgress;

/* A listener's own place in the ring. */
typedef struct BusReader
{
	int			listener;
	uint64		position;
} BusReader;

/* Memory and initialisation; called by shmem.c only. */
extern Size bus_shmem_size(void);
extern void bus_shmem_init(void);

/* Largest record that the ring takes, in bytes, header and all: a quarter of its size. */
extern Size bus_max_record(void);

/* Bytes that this record would take. */
extern Size bus_record_size(const BusRecord *record);

/* Write it to memory of that size, aligned to 8, as bus_next reads it. */
extern void bus_write_record(char *to, const BusRecord *record);

/*
 * Publish in three steps, so that a batch costs one lock and one wake-up: bus_begin takes the lock, bus_append copies
 * one record (false: larger than bus_max_record, nothing was done), bus_end lets go and wakes the listeners. Between
 * begin and end nothing else may be called but bus_append, bus_progress and bus_set_progress. Listeners, decoders and
 * the launcher.
 */
extern void bus_begin(void);
extern bool bus_append(const BusRecord *record);
extern void bus_end(void);

/* The three steps for a single record. */
extern bool bus_publish(const BusRecord *record);

/* What the message decoder has delivered. Get: takes the lock itself. Set: only between bus_begin and bus_end. */
extern BusProgress bus_progress(void);
extern void bus_set_progress(BusProgress progress);

/*
 * Wait until every attached listener has read at least all but half of the ring, at most timeout_ms milliseconds; false if some have
 * not. For decoders, whose backlog is safe in the WAL, before they append: a fast transaction must not lap the
 * listeners. May throw (interrupts are processed).
 */
extern bool bus_wait_for_readers(int timeout_ms);

/* Listener: begin to read at the present end of the ring. Detaches at exit by itself. */
extern void bus_reader_attach(BusReader *reader, int listener);

/*
 * Listener: copy whole records into buffer, as many as fit; returns the bytes copied, 0 if there is nothing new. The
 * buffer must hold at least bus_max_record() bytes. *lapped is set to the number of bytes that were overwritten before
 * they were read, else 0.
 */
extern Size bus_read(BusReader *reader, char *buffer, Size size, uint64 *lapped);

/* The end of the ring: who has read as far has read all that was published before. One atomic read. */
extern uint64 bus_position(void);

/* Is there something to read? One atomic read. */
extern bool bus_has_news(const BusReader *reader);

/*
 * Walk over what bus_read copied: fills record from the bytes at *offset and moves it on; false at the end. The slices
 * point into the buffer.
 */
extern bool bus_next(const char *buffer, Size length, Size *offset, BusRecord *record);

/* Bytes that this listener has not read yet; 0 if there is no such listener. Any process. */
extern uint64 bus_reader_lag(int listener);

#endif							/* REALTIME_BUS_H */
