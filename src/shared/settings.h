/*
 * settings.h
 *	  The settings realtime.*, as C variables. README.md has the table for users.
 *
 * A worker sees changes of the reloadable ones after worker_reload_if_asked. Sizes are in bytes and times in
 * milliseconds unless the name says otherwise.
 */
#ifndef REALTIME_SETTINGS_H
#define REALTIME_SETTINGS_H

/* Longest topic without "realtime:", in bytes; longer ones are refused wherever they come from. */
#define REALTIME_MAX_TOPIC		4096

/* jwt_secret has at least so many bytes. */
#define REALTIME_MIN_SECRET		32

/* need a restart */
extern char *realtime_database;
extern char *realtime_listen_addresses;
extern int	realtime_port;
extern int	realtime_listeners;
extern int	realtime_authorizers;
extern int	realtime_max_questions;
extern int	realtime_bus_size;			/* MB */
extern int	realtime_history_memory;	/* MB */
extern int	realtime_max_topics;

/* reload with SIGHUP */
extern char *realtime_jwt_secret;		/* '' or at least REALTIME_MIN_SECRET bytes */
extern char *realtime_jwks_file;		/* '' or a path, relative to the data directory */
extern char *realtime_claim_validators; /* '' or a JSON object */
extern char *realtime_api_keys;		/* see api_keys.h */
extern char *realtime_allowed_roles;	/* identifiers, separated by commas */
extern bool realtime_private_only;
extern int	realtime_max_questions_per_client;
extern int	realtime_policy_timeout;	/* ms */
extern int	realtime_retention;			/* minutes */
extern char *realtime_partition_clock;	/* '' or the timestamp that partitions go by, for tests */
extern int	realtime_max_clients;
extern int	realtime_max_unjoined;
extern int	realtime_max_connects_per_second;
extern int	realtime_handshake_timeout; /* ms */
extern int	realtime_idle_timeout;		/* ms */
extern int	realtime_max_joins_per_second;
extern int	realtime_max_channels_per_client;
extern int	realtime_max_requests_per_second;
extern int	realtime_max_messages_per_second;
extern int	realtime_max_total_messages_per_second; /* 0: no limit */
extern int	realtime_limit_burst;	/* ms; see bucket.h */
extern char *realtime_role_limits_text; /* see role_limits.h */
extern int	realtime_max_payload_size;	/* kB of 1000 bytes are not PostgreSQL's: this is in bytes */
extern bool realtime_presence_enabled;
extern int	realtime_presence_rate; /* per channel and second */
extern int	realtime_max_presence;
extern int	realtime_max_presence_per_topic;
extern int	realtime_ping_interval; /* ms */
extern int	realtime_client_timeout;	/* ms */
extern int	realtime_client_queue_size; /* kB */
extern int	realtime_client_queue_soft; /* kB */
extern int	realtime_client_queue_soft_time;	/* ms */
extern int	realtime_client_send_buffer;	/* kB; 0: the system's choice */
extern int	realtime_queue_memory;	/* MB; 0: no limit */
extern int	realtime_token_warning; /* ms; 0: none */
extern int	realtime_token_grace;	/* ms */
extern int	realtime_max_wal_retained;	/* MB */
extern char *realtime_publication;
extern int	realtime_changes_backlog;	/* MB */
extern bool realtime_judge_deletes;
extern int	realtime_history_size;	/* records per topic */
extern int	realtime_history_ttl;	/* ms */
extern int	realtime_replay_limit;	/* messages */
extern bool realtime_ssl;
extern char *realtime_ssl_cert_file;	/* '': the server's own */
extern char *realtime_ssl_key_file;		/* '': the server's own */
extern char *realtime_metrics_role;		/* '': no token opens /metrics */
extern char *realtime_allowed_origins;	/* see wire/origin.h */

/* not a setting: what realtime.topic() and policies read */
extern char *realtime_topic;

/* Is there something that tokens could be verified with: a secret, a file with keys, an opaque key? */
extern bool settings_have_keys(void);

/* Define realtime.topic, and, if preloaded, all others; then reserve the prefix. _PG_init. */
extern void settings_define(bool preloaded);

/* The longest payload that is delivered, in bytes of its text: max_payload_size and what the bus takes. */
extern Size settings_max_payload(void);

/* So much of it as the bus takes. */
extern Size settings_fit_payload(Size size);

#endif							/* REALTIME_SETTINGS_H */
