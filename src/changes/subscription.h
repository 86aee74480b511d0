/*
 * subscription.h
 *	  Who has subscribed to what: the changes worker's own book, filled by the requests of the listeners.
 *
 * A subscription is that of one channel; it has the entries of its join. Subscriptions with the same role and claims share a
 * user, for whom policies are judged once. Changes worker only; functions that allocate throw when memory runs out.
 */
#ifndef REALTIME_CHANGES_SUBSCRIPTION_H
#define REALTIME_CHANGES_SUBSCRIPTION_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "lib/ilist.h"

#include "shared/change_requests.h"
#include "wire/change_entry.h"

/* What meets realtime.policy_timeout so often within so many ms is suspended for so many ms. */
#define USER_TIMEOUTS		3
#define USER_TIMEOUT_WINDOW	60000
#define USER_SUSPENSION		30000

typedef struct Slowness
{
	TimestampTz timeouts[USER_TIMEOUTS];	/* the oldest first */
	TimestampTz suspended_until;	/* 0: is not */
} Slowness;

/* Of the policies of one table, once they have met realtime.policy_timeout. */
typedef struct PolicySlowness
{
	Oid			table;
	Slowness	slowness;
	struct PolicySlowness *next;
} PolicySlowness;

typedef struct User
{
	uint64		hash;
	uint32		number;			/* not used again for anybody else */
	int			refs;			/* subscriptions */
	char	   *role_name;		/* in the encoding of the database, as are all texts here */
	char	   *claims;

	Oid			role;			/* as of role_generation; InvalidOid: has to be resolved */
	uint64		role_generation;

	PolicySlowness *policies;

	/* Whoever is anonymous is one user, and anybody may write a slow pattern: only filters that may take long are suspended. */
	Slowness	filters;
} User;

typedef struct Entry
{
	uint32		id;				/* as in the join's reply */
	ChangeEntry what;			/* as the client wrote it, in UTF-8; in the subscription's context, as is the rest */
	Slice		schema;			/* in the encoding of the database, as are table and select */
	Slice		table;
	Slice	   *select;
	char	   *filter_key;		/* equal for equal filters; NULL: none */
	char	   *select_key;		/* equal for equal selects; NULL: all columns */
} Entry;

typedef struct Subscription
{
	dlist_node	node;
	MemoryContext context;		/* holds it and its entries */
	int16		listener;
	uint32		number;			/* the listener's */
	uint32		connection;
	uint32		connection_generation;
	uint32		version;
	bool		live;			/* the listener knows that it is */
	XLogRecPtr	from;			/* transactions whose commit record lies before are none of its business */
	User	   *user;
	char	   *topic;
	TimestampTz told_at;		/* when it was last told of an error */
	uint32		untold;			/* errors since */
	int			entry_count;
	Entry	   *entries;
} Subscription;

extern void subscriptions_init(void);

/* All of them. */
extern dlist_head *subscriptions(void);

/*
 * A new subscription, in no list yet, without entries. Takes the texts over in the database's encoding; raises if they can't be
 * converted.
 */
extern Subscription *subscription_make(const ChangeRequest *request);

/* Enter it; an older one of the same channel goes, and its place in the stream is kept. */
extern void subscription_enter(Subscription *subscription);

extern Subscription *subscription_find(int listener, uint32 number);

/* Remove it from the book and from all tables, and free it. For one that was never entered: just free. Inside a transaction. */
extern void subscription_drop(Subscription *subscription);

/* All of a listener that has started anew. */
extern void subscriptions_drop_of(int listener);

/* That of a user's policies on a table; it lives as long as the user. NULL: there is none, and none is to be made. */
extern Slowness *policy_slowness(User *user, Oid table, bool make);

/* It has met realtime.policy_timeout. True: that was one too many, and it is suspended. */
extern bool slowness_note(Slowness *slowness);

/* What was suspended is tried again when its time is over. */
extern bool slowness_is_suspended(Slowness *slowness);

#endif							/* REALTIME_CHANGES_SUBSCRIPTION_H */
