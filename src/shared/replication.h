/*
 * replication.h
 *	  Are messages from the database delivered? The message decoder and the launcher say so, listeners and health() ask.
 */
#ifndef REALTIME_REPLICATION_H
#define REALTIME_REPLICATION_H

#define REPLICATION_TEXT_SIZE	256

typedef enum ReplicationState
{
	REPLICATION_STARTING,		/* no starting point yet; text is empty or names what it waits for */
	REPLICATION_READY,			/* delivered */
	REPLICATION_UNAVAILABLE		/* can't be until something is changed; text says what */
} ReplicationState;

extern Size replication_shmem_size(void);
extern void replication_shmem_init(void);

/*
 * Set state and text (NULL: none) and, if they changed, put BUS_DATABASE_READY or, with a text, BUS_DATABASE_WAITING on the bus.
 * replication_explain is for the launcher: it sets the text while the state is STARTING and does nothing otherwise.
 * Message decoder (all states) and launcher; never throws.
 */
extern void replication_set(ReplicationState state, const char *text);
extern void replication_explain(const char *text);

/* Any process, also inside libwebsockets callbacks. text: REPLICATION_TEXT_SIZE bytes, may be NULL. */
extern ReplicationState replication_get(char *text);

#endif							/* REALTIME_REPLICATION_H */
