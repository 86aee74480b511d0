/*
 * figures.c
 *	  Limits, queues and lags by name.
 */
#include "postgres.h"

#include "shared/bus.h"
#include "shared/figures.h"
#include "shared/history.h"
#include "shared/questions.h"
#include "shared/registry.h"
#include "shared/settings.h"

#define KB		INT64CONST(1024)
#define MB		(1024 * KB)
#define MINUTE	INT64CONST(60000)

#define MAX_ADDED	8

/* Every setting that is a number, but for port. */
static const struct
{
	const char *name;
	const int  *value;
	int64		scale;			/* to the unit */
	FigureUnit	unit;
}			limits[] =
{
	{"listeners", &realtime_listeners, 1, FIGURE_PLAIN},
	{"authorizers", &realtime_authorizers, 1, FIGURE_PLAIN},
	{"bus_size", &realtime_bus_size, MB, FIGURE_BYTES},
	{"history_memory", &realtime_history_memory, MB, FIGURE_BYTES},
	{"max_topics", &realtime_max_topics, 1, FIGURE_PLAIN},
	{"history_size", &realtime_history_size, 1, FIGURE_PLAIN},
	{"history_ttl", &realtime_history_ttl, 1, FIGURE_MILLISECONDS},
	{"replay_limit", &realtime_replay_limit, 1, FIGURE_PLAIN},
	{"max_questions", &realtime_max_questions, 1, FIGURE_PLAIN},
	{"max_questions_per_client", &realtime_max_questions_per_client, 1, FIGURE_PLAIN},
	{"policy_timeout", &realtime_policy_timeout, 1, FIGURE_MILLISECONDS},
	{"retention", &realtime_retention, MINUTE, FIGURE_MILLISECONDS},
	{"max_clients", &realtime_max_clients, 1, FIGURE_PLAIN},
	{"max_unjoined", &realtime_max_unjoined, 1, FIGURE_PLAIN},
	{"max_connects_per_second", &realtime_max_connects_per_second, 1, FIGURE_PLAIN},
	{"handshake_timeout", &realtime_handshake_timeout, 1, FIGURE_MILLISECONDS},
	{"idle_timeout", &realtime_idle_timeout, 1, FIGURE_MILLISECONDS},
	{"max_joins_per_second", &realtime_max_joins_per_second, 1, FIGURE_PLAIN},
	{"max_channels_per_client", &realtime_max_channels_per_client, 1, FIGURE_PLAIN},
	{"max_requests_per_second", &realtime_max_requests_per_second, 1, FIGURE_PLAIN},
	{"max_messages_per_second", &realtime_max_messages_per_second, 1, FIGURE_PLAIN},
	{"max_total_messages_per_second", &realtime_max_total_messages_per_second, 1, FIGURE_PLAIN},
	{"limit_burst", &realtime_limit_burst, 1, FIGURE_MILLISECONDS},
	{"max_payload_size", &realtime_max_payload_size, 1, FIGURE_BYTES},
	{"presence_rate", &realtime_presence_rate, 1, FIGURE_PLAIN},
	{"max_presence", &realtime_max_presence, 1, FIGURE_PLAIN},
	{"max_presence_per_topic", &realtime_max_presence_per_topic, 1, FIGURE_PLAIN},
	{"ping_interval", &realtime_ping_interval, 1, FIGURE_MILLISECONDS},
	{"client_timeout", &realtime_client_timeout, 1, FIGURE_MILLISECONDS},
	{"client_queue_size", &realtime_client_queue_size, KB, FIGURE_BYTES},
	{"client_queue_soft", &realtime_client_queue_soft, KB, FIGURE_BYTES},
	{"client_queue_soft_time", &realtime_client_queue_soft_time, 1, FIGURE_MILLISECONDS},
	{"client_send_buffer", &realtime_client_send_buffer, KB, FIGURE_BYTES},
	{"queue_memory", &realtime_queue_memory, MB, FIGURE_BYTES},
	{"token_warning", &realtime_token_warning, 1, FIGURE_MILLISECONDS},
	{"token_grace", &realtime_token_grace, 1, FIGURE_MILLISECONDS},
	{"max_wal_retained", &realtime_max_wal_retained, MB, FIGURE_BYTES},
	{"changes_backlog", &realtime_changes_backlog, MB, FIGURE_BYTES},
};

typedef struct Gauge
{
	const char *name;
	FigureUnit	unit;
	uint64		(*read) (void);
	const char *help;
} Gauge;

static Gauge added[MAX_ADDED];
static int	added_count;

/* Of the listener that is furthest behind. */
static uint64
bus_lag(void)
{
	uint64		most = 0;

	for (int i = 0; i < realtime_listeners; i++)
		most = Max(most, bus_reader_lag(i));
	return most;
}

static uint64
decoder_lag(void)
{
	WorkerInfo	info;

	return registry_get(WORKER_MESSAGE_DECODER, 0, &info) ? info.lag : 0;
}

static uint64
history_topics(void)
{
	uint64		topics;
	uint64		bytes;

	history_load(&topics, &bytes);
	return topics;
}

static uint64
history_used(void)
{
	uint64		topics;
	uint64		bytes;

	history_load(&topics, &bytes);
	return bytes;
}

static uint64
questions_open(void)
{
	int			open;
	int			waiting;
	int64		mean;

	question_load(&open, &waiting, &mean);
	return open;
}

static uint64
questions_waiting(void)
{
	int			open;
	int			waiting;
	int64		mean;

	question_load(&open, &waiting, &mean);
	return waiting;
}

static uint64
question_time(void)
{
	int			open;
	int			waiting;
	int64		mean;

	question_load(&open, &waiting, &mean);
	return mean;
}

static const Gauge gauges[] =
{
	{"bus_lag", FIGURE_BYTES, bus_lag, "Bytes of the bus that the listener furthest behind has still to read."},
	{"decoder_lag", FIGURE_BYTES, decoder_lag, "Bytes of flushed WAL that the message decoder has still to deliver."},
	{"history_topics", FIGURE_PLAIN, history_topics, "Topics whose messages are numbered."},
	{"history_used", FIGURE_BYTES, history_used, "Bytes of the memory for the last messages of topics that are in use."},
	{"questions_open", FIGURE_PLAIN, questions_open, "Questions to the authorizers that are not settled yet."},
	{"questions_waiting", FIGURE_PLAIN, questions_waiting, "Questions that no authorizer has taken yet."},
	{"question_time", FIGURE_MICROSECONDS, question_time, "Mean time that the policies of one question took of late."},
};

void
figures_add(const char *name, FigureUnit unit, uint64 (*read) (void), const char *help)
{
	Assert(added_count < MAX_ADDED);
	added[added_count++] = (Gauge) {name, unit, read, help};
}

bool
figure_nth(int n, Figure *figure)
{
	const Gauge *gauge;

	if (n < lengthof(limits))
	{
		*figure = (Figure) {limits[n].name, true, limits[n].unit, *limits[n].value * limits[n].scale, "As set."};
		return true;
	}
	n -= lengthof(limits);
	if (n < lengthof(gauges))
		gauge = &gauges[n];
	else if (n - lengthof(gauges) < added_count)
		gauge = &added[n - lengthof(gauges)];
	else
		return false;
	*figure = (Figure) {gauge->name, false, gauge->unit, (int64) gauge->read(), gauge->help};
	return true;
}
