/*
 * decoding.h
 *	  What both decoders do in the same way: look whether the server lets them, read what is
 *	  flushed, and sleep until there is more.
 */
#ifndef REALTIME_DECODING_H
#define REALTIME_DECODING_H

#include "access/xlogdefs.h"

/*
 * Look whether the server can decode. What takes a restart to change (wal_level, max_replication_slots) never returns; for a
 * free slot it is waited. unavailable is told what is wrong, for clients, and again with each look while it is so: it may end the
 * process. what says what is not delivered meanwhile, for the log. Interruptible; ends the process if it is no longer wanted.
 */
typedef void (*DecodingUnavailable) (const char *detail);
extern void decoding_check_server(const char *what, DecodingUnavailable unavailable);
extern void decoding_wait_for_free_slot(const char *what, DecodingUnavailable unavailable);

/* What a decoder does while it reads. */
typedef struct DecodingSteps
{
	void		(*record) (void);	/* after each record; may be NULL */
	void		(*round) (void);	/* after so much without a pause: publish the position, notice new settings */
	void		(*lost) (void);	/* WAL that was not read yet is gone: say so, end the process */
} DecodingSteps;

/*
 * Read all that is flushed, by reader.h, which has its filter and its place to start from. What is left over at the end, less
 * than a round, is for the caller to settle. Interruptible; ends the process if it is no longer wanted.
 */
extern void decoding_read_on(const DecodingSteps *steps);

/*
 * Sleep until there is more to read or so many milliseconds have passed; a commit up to this position is known of and will be
 * flushed soon. Interruptible; ends the process if it is no longer wanted.
 */
extern void decoding_sleep(XLogRecPtr committed, long timeout_ms);

#endif							/* REALTIME_DECODING_H */
