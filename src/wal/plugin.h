/*
 * plugin.h
 *	  The output plugin "realtime": one JSON object for each change, for whoever makes a slot with it.
 *
 * select pg_create_logical_replication_slot('s', 'realtime');
 * select data from pg_logical_slot_get_changes('s', null, null);
 *
 *	  {"action":"INSERT","xid":740,"lsn":"0/1594F28","committed_at":"2024-05-01T12:00:00.123456+00:00",
 *	   "schema":"public","table":"t","columns":[{"name":"id","type":"integer","value":1}, ...]}
 *	  {"action":"UPDATE", ..., "columns":[...],"key":[...]}		the row as it is now, and which row it was
 *	  {"action":"DELETE", ..., "key":[...]}						which row it was
 *	  {"action":"TRUNCATE", ..., "cascade":false,"restart_identity":false}	one for each table
 *	  {"action":"BEGIN", ...}, {"action":"COMMIT", ...}			only with include-transactions
 *
 * Changes of a transaction come when it has committed, transactions in the order of their commits; lsn is that
 * of the change, committed_at that of the transaction. "key" holds the columns of the replica identity as they
 * were, or as they are if they have not changed; with REPLICA IDENTITY FULL there is "old" instead, with the
 * whole old row. Without a replica identity neither is there. Numbers (NaN and infinities aside) and booleans
 * are values of JSON, json and jsonb are put in as they are, everything else is a string in the form that the
 * type's output function gives it. A large value that an UPDATE has not touched is not in the WAL: its column
 * has "unchanged":true and no "value".
 *
 * Options, all booleans: include-transactions (off), include-xid, include-lsn, include-timestamp (on).
 *
 * Newer minor releases want "realtime" in output_plugin_libraries.
 */
#ifndef REALTIME_PLUGIN_H
#define REALTIME_PLUGIN_H

#include "replication/output_plugin.h"

/* Looked up by the server when a slot of ours is decoded. */
extern PGDLLEXPORT void _PG_output_plugin_init(OutputPluginCallbacks *callbacks);

/* In this process other callbacks are handed out instead of the JSON ones. Message decoder. */
typedef void (*PluginCallbacksFunction) (OutputPluginCallbacks *callbacks);
extern void plugin_set_callbacks(PluginCallbacksFunction function);

#endif							/* REALTIME_PLUGIN_H */
