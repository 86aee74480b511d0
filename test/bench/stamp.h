/*
 * stamp.h
 *		The payload of the benchmark and the check that nothing is lost, repeated
 *		or out of order.
 *
 * A payload is a JSON object of exactly STAMP_LENGTH bytes that carries the
 * number of its sender, a sequence number that counts from 0 per sender, and
 * the time of sending. It survives a way through jsonb, which may add keys and
 * spaces but leaves strings alone: the reader looks for the marker.
 */
#ifndef BENCH_STAMP_H
#define BENCH_STAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STAMP_LENGTH		128
#define STAMP_MAX_SENDERS	16

typedef struct stamp
{
	uint32_t	sender;			/* below STAMP_MAX_SENDERS */
	uint32_t	seq;
	uint64_t	sent;			/* clock_now() */
} stamp;

/* What one receiver has seen of one sender. */
typedef struct stream
{
	uint32_t	next;			/* the sequence number that should come now */
	uint64_t	seen;			/* bit i: next - 1 - i has arrived */
} stream;

/* What one receiver has seen of all senders. */
typedef struct receiver_check
{
	stream		streams[STAMP_MAX_SENDERS];
	uint64_t	received;
	uint64_t	order_hash;		/* equal for two receivers that saw the same in the same order */
} receiver_check;

/* What went wrong, over all receivers. */
typedef struct check_totals
{
	uint64_t	lost;
	uint64_t	repeated;
	uint64_t	disordered;		/* later than a message that was sent after it */
	uint64_t	unreadable;
	uint64_t	order_differs;	/* receivers whose order is not that of the first one */
} check_totals;

extern void stamp_write(char *payload, const stamp *s);
extern bool stamp_read(const uint8_t *data, size_t length, size_t *hint, stamp *s);
extern void check_message(receiver_check *check, const stamp *s, check_totals *totals);
extern void check_finish(const receiver_check *checks, size_t count, const uint32_t *sent,
						 check_totals *totals);
extern bool check_clean(const check_totals *totals);

#endif							/* BENCH_STAMP_H */
