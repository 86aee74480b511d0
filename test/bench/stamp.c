/*
 * stamp.c
 *		The payload of the benchmark and the check of what arrives.
 *
 *		{"m":"~rb~SSNNNNNNNNTTTTTTTTTTTTTTTT....."}
 *		          ^ ^       ^               ^
 *		          | |       |               filler up to 128 bytes
 *		          | |       time of sending, ns, 16 hex digits
 *		          | sequence number, 8 hex digits
 *		          sender, 2 hex digits
 */
#include "stamp.h"

#include <string.h>

#define MARKER			"~rb~"
#define MARKER_LENGTH	4
#define SENDER_DIGITS	2
#define SEQ_DIGITS		8
#define TIME_DIGITS		16
#define STAMP_DIGITS	(SENDER_DIGITS + SEQ_DIGITS + TIME_DIGITS)

static const char prefix[] = "{\"m\":\"" MARKER;
static const char suffix[] = "\"}";

/* Writes a number as hex digits of a fixed width; returns the place behind them. */
static char *
write_hex(char *at, uint64_t value, int digits)
{
	for (int i = digits - 1; i >= 0; i--)
	{
		at[i] = "0123456789abcdef"[value & 15];
		value >>= 4;
	}
	return at + digits;
}

/* Reads hex digits of a fixed width; false if there is something else among them. */
static bool
read_hex(const uint8_t *at, int digits, uint64_t *value)
{
	uint64_t	v = 0;

	for (int i = 0; i < digits; i++)
	{
		uint8_t		c = at[i];

		if (c >= '0' && c <= '9')
			v = (v << 4) | (uint64_t) (c - '0');
		else if (c >= 'a' && c <= 'f')
			v = (v << 4) | (uint64_t) (c - 'a' + 10);
		else
			return false;
	}
	*value = v;
	return true;
}

/* Fills STAMP_LENGTH bytes (no terminator). */
void
stamp_write(char *payload, const stamp *s)
{
	char	   *at = payload;

	memcpy(at, prefix, sizeof(prefix) - 1);
	at = write_hex(at + sizeof(prefix) - 1, s->sender, SENDER_DIGITS);
	at = write_hex(at, s->seq, SEQ_DIGITS);
	at = write_hex(at, s->sent, TIME_DIGITS);
	memset(at, '.', (size_t) (payload + STAMP_LENGTH - at));
	memcpy(payload + STAMP_LENGTH - (sizeof(suffix) - 1), suffix, sizeof(suffix) - 1);
}

/*
 * Finds and reads the stamp in a message. *hint is where the last one was found:
 * messages of one kind have it at the same place, so the search is rare.
 */
bool
stamp_read(const uint8_t *data, size_t length, size_t *hint, stamp *s)
{
	const uint8_t *at;
	uint64_t	sender;
	uint64_t	seq;

	if (*hint + MARKER_LENGTH + STAMP_DIGITS <= length &&
		memcmp(data + *hint, MARKER, MARKER_LENGTH) == 0)
		at = data + *hint;
	else
	{
		at = memmem(data, length, MARKER, MARKER_LENGTH);
		if (at == NULL || (size_t) (data + length - at) < MARKER_LENGTH + STAMP_DIGITS)
			return false;
		*hint = (size_t) (at - data);
	}
	at += MARKER_LENGTH;
	if (!read_hex(at, SENDER_DIGITS, &sender) ||
		!read_hex(at + SENDER_DIGITS, SEQ_DIGITS, &seq) ||
		!read_hex(at + SENDER_DIGITS + SEQ_DIGITS, TIME_DIGITS, &s->sent) ||
		sender >= STAMP_MAX_SENDERS)
		return false;
	s->sender = (uint32_t) sender;
	s->seq = (uint32_t) seq;
	return true;
}

/* A message that is not the next one of its sender. */
static void
check_odd_message(stream *st, uint32_t seq, check_totals *totals)
{
	if (seq > st->next)
	{
		uint32_t	gap = seq - st->next;

		totals->lost += gap;
		st->seen = gap >= 63 ? 0 : st->seen << gap;
		st->seen = (st->seen << 1) | 1;
		st->next = seq + 1;
	}
	else
	{
		uint32_t	age = st->next - 1 - seq;

		if (age < 64 && (st->seen & (UINT64_C(1) << age)) == 0)
		{
			/* counted as lost when its successor came */
			totals->lost--;
			totals->disordered++;
			st->seen |= UINT64_C(1) << age;
		}
		else
			totals->repeated++;
	}
}

/* Takes note of one message at one receiver. */
void
check_message(receiver_check *check, const stamp *s, check_totals *totals)
{
	stream	   *st = &check->streams[s->sender];

	check->received++;
	check->order_hash = (check->order_hash ^ ((uint64_t) s->sender << 32 | s->seq)) *
		UINT64_C(0x9E3779B97F4A7C15);
	check->order_hash ^= check->order_hash >> 29;
	if (s->seq == st->next)
	{
		st->next++;
		st->seen = (st->seen << 1) | 1;
	}
	else
		check_odd_message(st, s->seq, totals);
}

/*
 * To be called once all has arrived or the patience is at an end: counts what is
 * missing at the end of each stream, and compares the order over all receivers.
 * sent has the number of messages of each sender.
 */
void
check_finish(const receiver_check *checks, size_t count, const uint32_t *sent,
			 check_totals *totals)
{
	for (size_t i = 0; i < count; i++)
	{
		for (int s = 0; s < STAMP_MAX_SENDERS; s++)
			if (checks[i].streams[s].next < sent[s])
				totals->lost += sent[s] - checks[i].streams[s].next;
		if (checks[i].order_hash != checks[0].order_hash)
			totals->order_differs++;
	}
}

/* Whether everything arrived once and in order. */
bool
check_clean(const check_totals *totals)
{
	return totals->lost == 0 && totals->repeated == 0 && totals->disordered == 0 &&
		totals->unreadable == 0 && totals->order_differs == 0;
}
