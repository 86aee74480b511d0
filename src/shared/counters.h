/*
 * counters.h
 *	  The numbers of realtime.stats: totals since server start, and a few gauges, as atomics in shared memory.
 */
#ifndef REALTIME_COUNTERS_H
#define REALTIME_COUNTERS_H

/* name in realtime.stats, in the order in which they are shown */
#define COUNTER_LIST(X) \
	X(CONNECTIONS, "connections") /* gauge */ \
	X(CONNECTIONS_JOINED, "connections_joined") /* gauge */ \
	X(CHANNELS, "channels") /* gauge */ \
	X(PRIVATE_CHANNELS, "private_channels") /* gauge */ \
	X(SUBSCRIBED_CHANNELS, "subscribed_channels") /* gauge */ \
	X(QUEUE_MEMORY, "queue_memory_used") /* gauge */ \
	X(CONNECTS, "connects") \
	X(CONNECTS_REFUSED, "connects_refused") \
	X(JOINS, "joins") \
	X(JOINS_REFUSED, "joins_refused") \
	X(MESSAGES_RECEIVED, "messages_received") \
	X(MESSAGES_REFUSED, "messages_refused") \
	X(MESSAGES_MALFORMED, "messages_malformed") \
	X(RATE_REFUSALS, "rate_refusals") \
	X(BYTES_RECEIVED, "bytes_received") \
	X(BYTES_SENT, "bytes_sent") \
	X(BROADCASTS_FROM_CLIENTS, "broadcasts_from_clients") \
	X(BROADCASTS_FROM_DATABASE, "broadcasts_from_database") \
	X(BROADCASTS_FROM_DATABASE_REFUSED, "broadcasts_from_database_refused") \
	X(DELIVERIES, "deliveries") \
	X(PRESENCE_EVENTS, "presence_events") \
	X(QUEUED_BYTES, "queued_bytes") /* gauge */ \
	X(SLOW_CONSUMERS_CLOSED, "slow_consumers_closed") \
	X(BUS_BYTES_LOST, "bus_bytes_lost") \
	X(GAPS, "gaps") \
	X(CHANGES_DECODED, "changes_decoded") \
	X(CHANGES_DELIVERED, "changes_delivered") \
	X(CHANGE_VERDICTS, "change_verdicts") \
	X(CHANGE_ERRORS, "change_errors") \
	X(CHANGE_GAPS, "change_gaps") \
	X(RESUMED, "resumed") \
	X(RESUMES_REFUSED, "resumes_refused") \
	X(TOPICS_EVICTED, "topics_evicted") \
	X(REPLAYS, "replays") \
	X(WAL_RECORDS_READ, "wal_records_read") \
	X(WAL_RECORDS_SKIPPED, "wal_records_skipped") \
	X(PARTITIONS, "partitions") /* gauge */ \
	X(OLDEST_PARTITION, "oldest_partition") /* gauge: its first moment, in seconds since 1970; 0: there is none */ \
	X(PARTITIONS_MADE, "partitions_made") \
	X(PARTITIONS_DROPPED, "partitions_dropped") \
	X(ROWS_MOVED_HOME, "rows_moved_home")

typedef enum Counter
{
#define X(symbol, name) COUNTER_##symbol,
	COUNTER_LIST(X)
#undef X
	COUNTERS
} Counter;

extern Size counters_shmem_size(void);
extern void counters_shmem_init(void);

/* Any process; never throws. A gauge goes down by a negative number. */
extern void counter_add(Counter counter, int64 n);
extern void counter_set(Counter counter, int64 value);
extern int64 counter_get(Counter counter);
extern const char *counter_name(Counter counter);

#endif							/* REALTIME_COUNTERS_H */
