/*
 * metrics.c
 *	  GET /metrics, and who may read it.
 *
 * Any listener can answer: everything it shows lies in shared memory. Figures that the reference has too bear its
 * names, without the tenant. Some of those count up without ending in _total, or end in it and don't; such a family is
 * untyped, since that is what promtool takes.
 */
#include "postgres.h"

#include "listener/metrics.h"
#include "listener/tally.h"
#include "shared/bus.h"
#include "shared/figures.h"
#include "shared/histograms.h"
#include "shared/registry.h"
#include "shared/replication.h"
#include "shared/settings.h"

#define TEXT_MAX	(128 * 1024)

/* Micro- and milliseconds as a decimal number: digits after the point. */
#define MICRO		6
#define MILLI		3

static char buffer[TEXT_MAX];

/* ------------------------------------------------------- who may -------------------------------------------------- */

static bool
is_loopback(const char *address)
{
	return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 || strncmp(address, "::ffff:127.", 11) == 0;
}

/* A proxy on this host passes on the requests of others. */
static bool
is_passed_on(const HttpHead *head)
{
	static const char *const names[] = {"forwarded", "x-forwarded-for", "x-real-ip", "via"};
	Slice		value;

	for (int i = 0; i < lengthof(names); i++)
		if (http_header(head, slice_cstring(names[i]), &value))
			return true;
	return false;
}

static bool
bearer(const HttpHead *head, Slice *raw)
{
	Slice		value;

	if (!http_header(head, SLICE_LITERAL("authorization"), &value) || value.len < 7 ||
		!slice_equal_nocase(slice_make(value.data, 7), SLICE_LITERAL("bearer ")))
		return false;
	*raw = slice_skip(value, 7);
	return true;
}

bool
metrics_may_read(const Connection *connection, const HttpHead *head)
{
	TokenRefusal refusal;
	Token	   *token;
	Slice		raw;
	bool		may;

	if (is_loopback(connection->address) && !is_passed_on(head))
		return true;
	if (realtime_metrics_role[0] == '\0' || !bearer(head, &raw))
		return false;
	token = token_verify(raw, NULL, &refusal);
	if (token == NULL)
		return false;
	may = token->has_role && slice_equal(token_role(token), slice_cstring(realtime_metrics_role));
	token_unref(token);
	return may;
}

/* ------------------------------------------------------- writing -------------------------------------------------- */

/* A number with so many digits after the point. */
static void
write_decimal(Writer *w, int64 value, int digits)
{
	char		text[64];
	int64		scale = digits == MICRO ? 1000000 : digits == MILLI ? 1000 : 1;

	snprintf(text, sizeof(text), INT64_FORMAT, value / scale);
	writer_cstring(w, text);
	if (digits == 0 || value % scale == 0)
		return;
	snprintf(text, sizeof(text), ".%0*d", digits, (int) (value % scale));
	for (char *end = text + strlen(text); end[-1] == '0'; end--)
		end[-1] = '\0';
	writer_cstring(w, text);
}

static void
write_head(Writer *w, const char *name, const char *type, const char *help)
{
	writer_literal(w, "# HELP ");
	writer_cstring(w, name);
	writer_char(w, ' ');
	writer_cstring(w, help);
	writer_literal(w, "\n# TYPE ");
	writer_cstring(w, name);
	writer_char(w, ' ');
	writer_cstring(w, type);
	writer_char(w, '\n');
}

/* One sample; labels may be NULL. */
static void
write_sample(Writer *w, const char *name, const char *labels, int64 value, int digits)
{
	writer_cstring(w, name);
	if (labels != NULL)
	{
		writer_char(w, '{');
		writer_cstring(w, labels);
		writer_char(w, '}');
	}
	writer_char(w, ' ');
	write_decimal(w, value, digits);
	writer_char(w, '\n');
}

static void
write_one(Writer *w, const char *name, const char *type, const char *help, int64 value)
{
	write_head(w, name, type, help);
	write_sample(w, name, NULL, value, 0);
}

/* ------------------------------------------------------- counters ------------------------------------------------- */

/* Those with a name of their own; of the others realtime_ and the name in realtime.stats is one. */
static const struct
{
	const char *name;
	const char *type;
	const char *help;
}			counters[COUNTERS] =
{
	[COUNTER_CONNECTIONS] = {"realtime_connections", "gauge", "Connections, with or without a channel."},
	[COUNTER_CONNECTIONS_JOINED] = {"realtime_connections_connected", "gauge", "Connections that have joined a channel."},
	[COUNTER_CHANNELS] = {"realtime_channels", "gauge", "Channels that are joined."},
	[COUNTER_PRIVATE_CHANNELS] = {"realtime_private_channels", "gauge", "Private channels that are joined."},
	[COUNTER_SUBSCRIBED_CHANNELS] = {"realtime_subscriptions_manager_subscribers", "gauge",
	"Channels that have subscribed to Postgres Changes."},
	[COUNTER_CHANGES_DECODED] = {"realtime_changes_decoded_total", "counter", "Changes of published tables that were decoded."},
	[COUNTER_CHANGES_DELIVERED] = {"realtime_channel_db_events", "untyped", "Changes that were queued for one client each, counted up."},
	[COUNTER_CHANGE_VERDICTS] = {"realtime_change_verdicts_total", "counter", "Rows that were judged for a user by policies."},
	[COUNTER_CHANGE_ERRORS] = {"realtime_change_errors_total", "counter", "Changes that a subscriber's policies or filters could not judge."},
	[COUNTER_CHANGE_GAPS] = {"realtime_change_gaps_total", "counter", "Interruptions of the stream of changes."},
	[COUNTER_CONNECTS] = {"realtime_connects_total", "counter", "WebSockets that were accepted."},
	[COUNTER_CONNECTS_REFUSED] = {"realtime_connects_refused_total", "counter", "Connections that were refused."},
	[COUNTER_JOINS] = {"realtime_channel_joins", "untyped", "Joins that were accepted, counted up."},
	[COUNTER_JOINS_REFUSED] = {"realtime_joins_refused_total", "counter", "Joins that were refused."},
	[COUNTER_MESSAGES_RECEIVED] = {"realtime_messages_received_total", "counter", "Messages from clients."},
	[COUNTER_MESSAGES_REFUSED] = {"realtime_messages_refused_total", "counter",
	"Broadcasts from clients that were refused."},
	[COUNTER_MESSAGES_MALFORMED] = {"realtime_messages_malformed_total", "counter", "Messages that could not be read."},
	[COUNTER_BYTES_RECEIVED] = {"realtime_channel_input_bytes", "untyped", "Bytes from clients, counted up."},
	[COUNTER_BYTES_SENT] = {"realtime_channel_output_bytes", "untyped", "Bytes to clients, counted up."},
	[COUNTER_BROADCASTS_FROM_CLIENTS] = {"realtime_broadcasts_from_clients_total", "counter", "Broadcasts from clients."},
	[COUNTER_BROADCASTS_FROM_DATABASE] = {"realtime_broadcasts_from_database_total", "counter",
	"Broadcasts from the database."},
	[COUNTER_BROADCASTS_FROM_DATABASE_REFUSED] = {"realtime_broadcasts_from_database_refused_total", "counter",
	"Rows of realtime.messages that could not be broadcast."},
	[COUNTER_DELIVERIES] = {"realtime_deliveries_total", "counter", "Messages that were queued for one client each."},
	[COUNTER_PRESENCE_EVENTS] = {"realtime_channel_presence_events", "untyped", "Tracks of clients, counted up."},
	[COUNTER_QUEUED_BYTES] = {"realtime_queued_bytes", "gauge", "Bytes that clients have still to be sent."},
	[COUNTER_QUEUE_MEMORY] = {"realtime_queue_memory_used_bytes", "gauge", "Memory of what waits to be sent, shared messages once."},
	[COUNTER_RATE_REFUSALS] = {"realtime_rate_refusals_total", "counter", "Messages, joins and requests over a limit per second."},
	[COUNTER_SLOW_CONSUMERS_CLOSED] = {"realtime_slow_consumers_closed_total", "counter",
	"Connections that were closed since they did not read."},
	[COUNTER_BUS_BYTES_LOST] = {"realtime_bus_lost_bytes_total", "counter",
	"Bytes of the bus that a listener was too slow for."},
	[COUNTER_GAPS] = {"realtime_gaps_total", "counter", "Gaps that were announced to clients."},
	[COUNTER_RESUMED] = {"realtime_resumed_total", "counter", "Channels that came back and got all that they had missed."},
	[COUNTER_RESUMES_REFUSED] = {"realtime_resumes_refused_total", "counter",
	"Channels that came back and could not be given all that they had missed."},
	[COUNTER_TOPICS_EVICTED] = {"realtime_topics_evicted_total", "counter",
	"Topics that were forgotten since there are too many."},
	[COUNTER_REPLAYS] = {"realtime_replays_total", "counter", "Joins that had stored messages replayed."},
	[COUNTER_WAL_RECORDS_READ] = {"realtime_wal_records_read_total", "counter", "Records of the WAL that were read."},
	[COUNTER_WAL_RECORDS_SKIPPED] = {"realtime_wal_records_skipped_total", "counter",
	"Records of the WAL that were not decoded, being of other tables."},
	[COUNTER_PARTITIONS] = {"realtime_partitions", "gauge", "Partitions of realtime.messages, without the default one."},
	[COUNTER_OLDEST_PARTITION] = {"realtime_oldest_partition_timestamp_seconds", "gauge",
	"First moment of the oldest partition; 0 if there is none."},
	[COUNTER_PARTITIONS_MADE] = {"realtime_partitions_made_total", "counter", "Partitions that were made."},
	[COUNTER_PARTITIONS_DROPPED] = {"realtime_partitions_dropped_total", "counter", "Partitions that were dropped."},
	[COUNTER_ROWS_MOVED_HOME] = {"realtime_rows_moved_home_total", "counter",
	"Messages that were moved from the default partition to that of their day."},
};

static void
write_counters(Writer *w)
{
	for (int i = 0; i < COUNTERS; i++)
	{
		char		name[128];

		if (counters[i].name != NULL)
		{
			write_one(w, counters[i].name, counters[i].type, counters[i].help, tally_total(i));
			continue;
		}
		snprintf(name, sizeof(name), "realtime_%s", counter_name(i));
		write_one(w, name, "untyped", "As in realtime.stats.", tally_total(i));
	}
}

/* Further families of the reference that are made of the same numbers. */
static void
write_of_the_reference(Writer *w)
{
	write_one(w, "realtime_channel_events", "untyped", "Broadcasts from clients and from the database, counted up.",
			  tally_total(COUNTER_BROADCASTS_FROM_CLIENTS) + tally_total(COUNTER_BROADCASTS_FROM_DATABASE));
	write_head(w, "phoenix_channel_joined_total", "counter", "Joins by their result.");
	write_sample(w, "phoenix_channel_joined_total", "result=\"ok\",transport=\"websocket\"",
				 tally_total(COUNTER_JOINS), 0);
	write_sample(w, "phoenix_channel_joined_total", "result=\"error\",transport=\"websocket\"",
				 tally_total(COUNTER_JOINS_REFUSED), 0);
	write_one(w, "phoenix_connections_total", "untyped", "Connections that are open.", tally_total(COUNTER_CONNECTIONS));
	write_one(w, "phoenix_connections_active", "gauge", "Connections that have joined a channel.",
			  tally_total(COUNTER_CONNECTIONS_JOINED));
	write_one(w, "phoenix_connections_max", "gauge", "Connections that may be open.", realtime_max_clients);
}

/* ------------------------------------------------ limits, queues, lags -------------------------------------------- */

/* realtime_NAME or realtime_settings_NAME and the base unit, in which the value is written. */
static void
write_figures(Writer *w)
{
	static const char *const suffixes[] = {
		[FIGURE_BYTES] = "_bytes",
		[FIGURE_PLAIN] = "",
		[FIGURE_MILLISECONDS] = "_seconds",
		[FIGURE_MICROSECONDS] = "_seconds",
	};
	Figure		figure;

	for (int i = 0; figure_nth(i, &figure); i++)
	{
		char		name[128];

		snprintf(name, sizeof(name), "realtime_%s%s%s", figure.is_limit ? "settings_" : "", figure.name,
				 suffixes[figure.unit]);
		write_head(w, name, "gauge", figure.help);
		write_sample(w, name, NULL, figure.value,
					 figure.unit == FIGURE_MICROSECONDS ? MICRO : figure.unit == FIGURE_MILLISECONDS ? MILLI : 0);
	}
}

static void
write_worker(Writer *w, const char *family, const WorkerInfo *info, int64 value)
{
	char		labels[128];

	snprintf(labels, sizeof(labels), "worker=\"%s\",number=\"%d\"",
			 worker_kind_name(info->kind) + strlen("realtime "), info->index);
	write_sample(w, family, labels, value, 0);
}

static void
write_workers(Writer *w)
{
	WorkerInfo	info;

	write_head(w, "realtime_worker_running", "gauge", "1 if the worker does its work.");
	for (int i = 0; registry_nth(i, &info); i++)
		write_worker(w, "realtime_worker_running", &info, info.state == WORKER_RUNNING);
	write_head(w, "realtime_worker_restarts_total", "counter", "How often the worker was started again.");
	for (int i = 0; registry_nth(i, &info); i++)
		write_worker(w, "realtime_worker_restarts_total", &info, info.generation > 0 ? (int64) info.generation - 1 : 0);
	write_head(w, "realtime_worker_lag_bytes", "gauge",
			   "Bytes of the WAL or of the bus that the worker has still to read.");
	for (int i = 0; registry_nth(i, &info); i++)
		if (info.kind != WORKER_LAUNCHER && info.kind != WORKER_AUTHORIZER)
			write_worker(w, "realtime_worker_lag_bytes", &info,
						 info.kind == WORKER_LISTENER ? bus_reader_lag(info.index) : info.lag);
	write_one(w, "realtime_replication_ready", "gauge", "1 if messages from the database are delivered.",
			  replication_get(NULL) == REPLICATION_READY);
}

/* ------------------------------------------------------ histograms ------------------------------------------------ */

/* labels may be NULL. digits: of the unit that is written, in the one that is kept. */
static void
write_histogram(Writer *w, Histogram histogram, const char *name, const char *labels, int digits)
{
	HistogramInfo info;
	uint64		count = 0;
	char		family[128];
	char		text[128];

	histogram_read(histogram, &info);
	snprintf(family, sizeof(family), "%s_bucket", name);
	for (int b = 0; b <= info.bound_count; b++)
	{
		Writer		label = writer_fixed(text, sizeof(text) - 1);

		count += info.counts[b];
		if (labels != NULL)
		{
			writer_cstring(&label, labels);
			writer_char(&label, ',');
		}
		writer_literal(&label, "le=\"");
		if (b < info.bound_count)
			write_decimal(&label, info.bounds[b], digits);
		else
			writer_literal(&label, "+Inf");
		writer_literal(&label, "\"");
		text[label.len] = '\0';
		write_sample(w, family, text, count, 0);
	}
	snprintf(family, sizeof(family), "%s_sum", name);
	write_sample(w, family, labels, info.sum, digits);
	snprintf(family, sizeof(family), "%s_count", name);
	write_sample(w, family, labels, count, 0);
}

/* Times are in milliseconds, as the reference's. */
static void
write_time_histogram(Writer *w, Histogram histogram, const char *name, const char *help)
{
	write_head(w, name, "histogram", help);
	write_histogram(w, histogram, name, NULL, MILLI);
}

static void
write_histograms(Writer *w)
{
	write_head(w, "realtime_payload_size", "histogram", "Bytes of payloads.");
	write_histogram(w, HISTOGRAM_BROADCAST_SIZE, "realtime_payload_size", "message_type=\"broadcast\"", 0);
	write_histogram(w, HISTOGRAM_PRESENCE_SIZE, "realtime_payload_size", "message_type=\"presence\"", 0);
	write_time_histogram(w, HISTOGRAM_DATABASE_LATENCY, "realtime_tenants_broadcast_from_database_latency_committed_at",
						 "Milliseconds from the commit of a message until it was queued for its clients.");
	write_time_histogram(w, HISTOGRAM_READ_CHECK, "realtime_tenants_read_authorization_check",
						 "Milliseconds that the policies took that say who may read a topic.");
	write_time_histogram(w, HISTOGRAM_WRITE_CHECK, "realtime_tenants_write_authorization_check",
						 "Milliseconds that the policies took that say who may write to a topic.");
}

Slice
metrics_text(void)
{
	Writer		w = writer_fixed(buffer, sizeof(buffer));

	write_counters(&w);
	write_of_the_reference(&w);
	write_figures(&w);
	write_workers(&w);
	write_histograms(&w);
	return w.failed ? SLICE_EMPTY : writer_written(&w);
}
