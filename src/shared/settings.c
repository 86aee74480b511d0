/*
 * settings.c
 *	  The settings realtime.*.
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"

#include "shared/bus.h"
#include "shared/registry.h"
#include "shared/settings.h"
#include "shared/settings_check.h"

char	   *realtime_database;
char	   *realtime_listen_addresses;
int			realtime_port;
int			realtime_listeners;
int			realtime_authorizers;
int			realtime_max_questions;
int			realtime_bus_size;
int			realtime_history_memory;
int			realtime_max_topics;
char	   *realtime_jwt_secret = "";
char	   *realtime_jwks_file;
char	   *realtime_claim_validators;
char	   *realtime_api_keys = "";
char	   *realtime_allowed_roles;
bool		realtime_private_only;
int			realtime_max_questions_per_client;
int			realtime_policy_timeout;
int			realtime_retention;
char	   *realtime_partition_clock;
int			realtime_max_clients;
int			realtime_max_unjoined;
int			realtime_max_connects_per_second;
int			realtime_handshake_timeout;
int			realtime_idle_timeout;
int			realtime_max_joins_per_second;
int			realtime_max_channels_per_client;
int			realtime_max_requests_per_second;
int			realtime_max_messages_per_second;
int			realtime_max_total_messages_per_second;
int			realtime_limit_burst;
char	   *realtime_role_limits_text;
int			realtime_max_payload_size;
bool		realtime_presence_enabled;
int			realtime_presence_rate;
int			realtime_max_presence;
int			realtime_max_presence_per_topic;
int			realtime_ping_interval;
int			realtime_client_timeout;
int			realtime_client_queue_size;
int			realtime_client_queue_soft;
int			realtime_client_queue_soft_time;
int			realtime_client_send_buffer;
int			realtime_queue_memory;
int			realtime_token_warning;
int			realtime_token_grace;
int			realtime_max_wal_retained;
char	   *realtime_publication;
int			realtime_changes_backlog;
bool		realtime_judge_deletes;
int			realtime_history_size;
int			realtime_history_ttl;
int			realtime_replay_limit;
bool		realtime_ssl;
char	   *realtime_ssl_cert_file;
char	   *realtime_ssl_key_file;
char	   *realtime_metrics_role;
char	   *realtime_allowed_origins;
char	   *realtime_topic;

/* The variables that the server sees: always a mask (settings_check.h). */
static char *jwt_secret_shown;
static char *api_keys_shown;

static void define_restart_settings(void);
static void define_keys(void);
static void define_access(void);
static void define_limits(void);
static void define_rates(void);
static void define_queues(void);
static void define_expiry(void);
static void define_presence(void);
static void define_history(void);

void
settings_define(bool preloaded)
{
	DefineCustomStringVariable("realtime.topic",
							   "Topic that realtime.topic() and policies on realtime.messages read.",
							   NULL, &realtime_topic, "", PGC_USERSET, GUC_NOT_IN_SAMPLE,
							   NULL, NULL, NULL);
	if (!preloaded)
		return;

	define_restart_settings();
	define_keys();
	define_limits();
	define_rates();
	define_queues();
	define_access();
	define_expiry();
	define_presence();
	define_history();

	DefineCustomStringVariable("realtime.allowed_roles",
							   "Roles that a token may select.",
							   "Superusers, replication roles and predefined roles are out of reach of tokens even if they are listed.",
							   &realtime_allowed_roles, "anon, authenticated, service_role", PGC_SIGHUP,
							   GUC_LIST_INPUT, NULL, NULL, NULL);
	DefineCustomBoolVariable("realtime.private_only",
							 "Refuse joins of public channels.",
							 NULL, &realtime_private_only, false, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.max_questions_per_client",
							"Questions to the authorizers that one connection may have open at a time.",
							NULL, &realtime_max_questions_per_client, 32, 1, 65536, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.policy_timeout",
							"How long the policies of one question may run.",
							NULL, &realtime_policy_timeout, 1000, 1, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.retention",
							"How long messages stay in realtime.messages.",
							"A partition is dropped when its day lies wholly before this.",
							&realtime_retention, 3 * 24 * 60, 24 * 60, INT_MAX, PGC_SIGHUP, GUC_UNIT_MIN,
							NULL, NULL, NULL);
	DefineCustomStringVariable("realtime.partition_clock",
							   "Timestamp that the partitions of realtime.messages go by instead of the clock, for tests.",
							   NULL, &realtime_partition_clock, "", PGC_SUSET, GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL,
							   settings_check_partition_clock, NULL, NULL);
	DefineCustomIntVariable("realtime.max_wal_retained",
							"WAL that our replication slots may make the server keep.",
							"Past it their restart point is moved forward.",
							&realtime_max_wal_retained, 4096, 32, INT_MAX, PGC_SIGHUP, GUC_UNIT_MB,
							NULL, NULL, NULL);
	DefineCustomStringVariable("realtime.publication",
							   "Publication whose tables Postgres Changes are about.",
							   NULL, &realtime_publication, "supabase_realtime", PGC_SIGHUP, 0,
							   NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.changes_backlog",
							"WAL that Postgres Changes may lag behind.",
							"Past it the stream starts again at the present, and subscribers are told.",
							&realtime_changes_backlog, 1024, 16, INT_MAX, PGC_SIGHUP, GUC_UNIT_MB,
							NULL, NULL, NULL);
	DefineCustomBoolVariable("realtime.judge_deletes",
							 "Apply policies to deleted rows of tables with REPLICA IDENTITY FULL, too.",
							 "Otherwise every subscriber gets the primary key of a deleted row, as in the reference.",
							 &realtime_judge_deletes, false, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);

	MarkGUCPrefixReserved("realtime");
}

static void
define_restart_settings(void)
{
	DefineCustomStringVariable("realtime.database",
							   "Database that the workers serve.",
							   NULL, &realtime_database, "postgres", PGC_POSTMASTER, 0,
							   NULL, NULL, NULL);
	DefineCustomStringVariable("realtime.listen_addresses",
							   "Host names or IP addresses to listen on, or '*' for all.",
							   NULL, &realtime_listen_addresses, "localhost", PGC_POSTMASTER, GUC_LIST_INPUT,
							   NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.port",
							"TCP port of the WebSocket and HTTP listener.",
							NULL, &realtime_port, 4000, 1, 65535, PGC_POSTMASTER, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.listeners",
							"Number of listener processes, which share one port.",
							NULL, &realtime_listeners, 1, 1, REALTIME_MAX_LISTENERS, PGC_POSTMASTER, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.authorizers",
							"Number of processes that judge private channels.",
							NULL, &realtime_authorizers, 2, 1, REALTIME_MAX_AUTHORIZERS, PGC_POSTMASTER, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.max_questions",
							"Questions to the authorizers that may be open at a time.",
							NULL, &realtime_max_questions, 1024, 16, 65536, PGC_POSTMASTER, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.bus_size",
							"Shared memory of the ring that carries messages to the listeners.",
							"The longest message is a quarter of it.",
							&realtime_bus_size, 64, 16, 16384, PGC_POSTMASTER, GUC_UNIT_MB,
							NULL, NULL, NULL);
}

static void
define_keys(void)
{
	DefineCustomStringVariable("realtime.jwt_secret",
							   "Secret that HS256, HS384 and HS512 tokens are verified with.",
							   "At least 32 bytes. Without it every token that needs it is refused.",
							   &jwt_secret_shown, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY | GUC_NO_SHOW_ALL,
							   settings_check_jwt_secret, settings_assign_jwt_secret, settings_show_jwt_secret);
	DefineCustomStringVariable("realtime.jwks_file",
							   "File with a JSON Web Key Set, from which a token chooses its key by kid.",
							   "Relative to the data directory. It is read again when it changes.",
							   &realtime_jwks_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);
	DefineCustomStringVariable("realtime.claim_validators",
							   "Claims that every token must have, with their values, as a JSON object.",
							   NULL, &realtime_claim_validators, "", PGC_SIGHUP, 0,
							   settings_check_claim_validators, NULL, NULL);
	DefineCustomStringVariable("realtime.api_keys",
							   "Opaque keys and the roles that they stand for.",
							   "As in: sb_publishable_x = anon, sb_secret_y = service_role.",
							   &api_keys_shown, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY | GUC_NO_SHOW_ALL,
							   settings_check_api_keys, settings_assign_api_keys, settings_show_api_keys);
}

static void
define_limits(void)
{
	DefineCustomIntVariable("realtime.max_clients",
							"Connections in all, over all listeners.",
							NULL, &realtime_max_clients, 20000, 1, 1000000, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.max_unjoined",
							"Connections that have not joined a channel.",
							NULL, &realtime_max_unjoined, 1000, 1, 1000000, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.max_connects_per_second",
							"Connections that are let in, over all listeners.",
							"More of them wait in the queue of the listening socket.",
							&realtime_max_connects_per_second, 2000, 1, 1000000, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.handshake_timeout",
							"Time for a new connection to send its request.",
							NULL, &realtime_handshake_timeout, 10000, 100, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.idle_timeout",
							"A connection that sends nothing for so long is closed.",
							NULL, &realtime_idle_timeout, 60000, 1000, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.max_channels_per_client",
							"Channels that one connection may have joined at a time.",
							NULL, &realtime_max_channels_per_client, 100, 1, 100000, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.max_payload_size",
							"Longest payload of a message, in bytes of its text.",
							NULL, &realtime_max_payload_size, 3000 * 1024, 1024, 256 * 1024 * 1024, PGC_SIGHUP,
							GUC_UNIT_BYTE, NULL, NULL, NULL);
}

/* Limits on rates: token buckets (bucket.h). */
static void
define_rates(void)
{
	DefineCustomIntVariable("realtime.max_joins_per_second",
							"Joins of channels in all, over all listeners.",
							NULL, &realtime_max_joins_per_second, 5000, 1, INT_MAX, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.max_requests_per_second",
							"HTTP requests below /api in all, over all listeners.",
							NULL, &realtime_max_requests_per_second, 50000, 1, INT_MAX, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.max_messages_per_second",
							"Broadcasts, presence messages and joins of one connection.",
							NULL, &realtime_max_messages_per_second, 1000, 1, INT_MAX, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.max_total_messages_per_second",
							"Broadcasts of clients in all, also by HTTP, over all listeners; 0 for no limit.",
							NULL, &realtime_max_total_messages_per_second, 0, 0, INT_MAX, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.limit_burst",
							"How much time's worth of a limit per second may be used at once.",
							NULL, &realtime_limit_burst, 1000, 1, 3600 * 1000, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomStringVariable("realtime.role_limits",
							   "Limits that hold for the tokens of some roles instead of the common ones.",
							   "As in: service_role: max_messages_per_second=10000, max_channels_per_client=1000; authenticated: presence_rate=20.",
							   &realtime_role_limits_text, "", PGC_SIGHUP, 0,
							   settings_check_role_limits, settings_assign_role_limits, NULL);
}

static void
define_queues(void)
{
	DefineCustomIntVariable("realtime.client_queue_size",
							"Unsent bytes of one connection past which it is closed.",
							NULL, &realtime_client_queue_size, 8 * 1024, 64, 1024 * 1024, PGC_SIGHUP, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.client_queue_soft",
							"Unsent bytes that one connection may have for client_queue_soft_time at most.",
							NULL, &realtime_client_queue_soft, 1024, 64, 1024 * 1024, PGC_SIGHUP, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.client_queue_soft_time",
							"How long a connection may stay over client_queue_soft.",
							NULL, &realtime_client_queue_soft_time, 10000, 100, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.client_send_buffer",
							"Send buffer of one connection in the kernel; 0 leaves that to the system.",
							"It comes before the queue: what a client does not read fills it first.",
							&realtime_client_send_buffer, 128, 0, 1024 * 1024, PGC_SIGHUP, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.queue_memory",
							"Memory of one listener for what waits to be sent; 0 for no limit.",
							"Past it the connections with the longest queues are closed.",
							&realtime_queue_memory, 128, 0, 1024 * 1024, PGC_SIGHUP, GUC_UNIT_MB,
							NULL, NULL, NULL);
}

static void
define_access(void)
{
	DefineCustomBoolVariable("realtime.ssl",
							 "Serve new connections with TLS only.",
							 NULL, &realtime_ssl, false, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomStringVariable("realtime.ssl_cert_file",
							   "File with the certificate for TLS.",
							   "Empty: that of ssl_cert_file. It is read again on SIGHUP.",
							   &realtime_ssl_cert_file, "", PGC_SIGHUP, 0,
							   NULL, NULL, NULL);
	DefineCustomStringVariable("realtime.ssl_key_file",
							   "File with the private key of that certificate.",
							   "Empty: that of ssl_key_file. It is read again on SIGHUP.",
							   &realtime_ssl_key_file, "", PGC_SIGHUP, 0,
							   NULL, NULL, NULL);
	DefineCustomStringVariable("realtime.allowed_origins",
							   "Origins of web pages that may connect, or '*' for all.",
							   "A request without an Origin header comes from no browser and is not asked for one.",
							   &realtime_allowed_origins, "*", PGC_SIGHUP, GUC_LIST_INPUT,
							   settings_check_allowed_origins, NULL, NULL);
	DefineCustomStringVariable("realtime.metrics_role",
							   "Role whose tokens may read /metrics from another host.",
							   "Requests from this host need none. Empty: no other host may.",
							   &realtime_metrics_role, "service_role", PGC_SIGHUP, 0,
							   NULL, NULL, NULL);
}

/* The end of tokens. */
static void
define_expiry(void)
{
	DefineCustomIntVariable("realtime.token_warning",
							"How long before its token expires a channel is told; 0: not.",
							NULL, &realtime_token_warning, 0, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.token_grace",
							"How long a channel whose token has expired waits for a fresh one.",
							"Meanwhile nothing is delivered to it or accepted from it; then it is closed.",
							&realtime_token_grace, 0, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
}

static void
define_presence(void)
{
	DefineCustomBoolVariable("realtime.presence_enabled",
							 "Send presence to channels that did not ask for it, too.",
							 NULL, &realtime_presence_enabled, false, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.presence_rate",
							"Changes of presence that one channel may make in a second.",
							"Over it the latest is sent as soon as the rate allows.",
							&realtime_presence_rate, 10, 1, INT_MAX, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.max_presence",
							"Clients that may be present in all.",
							NULL, &realtime_max_presence, 100000, 1, INT_MAX, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.max_presence_per_topic",
							"Clients that may be present on one topic.",
							NULL, &realtime_max_presence_per_topic, 10000, 1, INT_MAX, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.ping_interval",
							"A client that is present and has been quiet for so long is pinged.",
							NULL, &realtime_ping_interval, 3000, 100, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.client_timeout",
							"A client that is present and does not answer is gone so long after its last byte.",
							NULL, &realtime_client_timeout, 9000, 200, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
}

static void
define_history(void)
{
	DefineCustomIntVariable("realtime.history_memory",
							"Shared memory for the last messages of all topics.",
							"The oldest make room for new ones.",
							&realtime_history_memory, 64, 1, 65536, PGC_POSTMASTER, GUC_UNIT_MB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.max_topics",
							"Topics whose messages are numbered and kept at a time.",
							"The one that was quiet for longest makes room for another. Each takes 64 bytes of shared memory.",
							&realtime_max_topics, 100000, 16, 10000000, PGC_POSTMASTER, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.history_size",
							"Last messages of a topic that are kept.",
							NULL, &realtime_history_size, 100, 0, 10000, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.history_ttl",
							"How long they are kept.",
							NULL, &realtime_history_ttl, 5 * 60 * 1000, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("realtime.replay_limit",
							"Stored messages that a join may have replayed.",
							NULL, &realtime_replay_limit, 25, 1, 1000, PGC_SIGHUP, 0,
							NULL, NULL, NULL);
}

Size
settings_fit_payload(Size size)
{
	Size		fits = bus_max_record() - REALTIME_MAX_TOPIC - 8192;

	return Min(size, fits);
}

Size
settings_max_payload(void)
{
	return settings_fit_payload(realtime_max_payload_size);
}

bool
settings_have_keys(void)
{
	return realtime_jwt_secret[0] != '\0' || realtime_jwks_file[0] != '\0' || realtime_api_keys[0] != '\0';
}
