/*
 * plugin.c
 *	  The output plugin "realtime".
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "replication/logical.h"
#include "replication/origin.h"
#include "replication/reorderbuffer.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "shared/compat.h"
#include "wal/change_json.h"
#include "wal/plugin.h"

typedef struct Plugin
{
	MemoryContext context;		/* reset after each change */
	bool		transactions;
	bool		xid;
	bool		lsn;
	bool		timestamp;
} Plugin;

static PluginCallbacksFunction other_callbacks;

static void
read_options(List *options, Plugin *plugin)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst(cell);

		if (strcmp(option->defname, "include-transactions") == 0)
			plugin->transactions = defGetBoolean(option);
		else if (strcmp(option->defname, "include-xid") == 0)
			plugin->xid = defGetBoolean(option);
		else if (strcmp(option->defname, "include-lsn") == 0)
			plugin->lsn = defGetBoolean(option);
		else if (strcmp(option->defname, "include-timestamp") == 0)
			plugin->timestamp = defGetBoolean(option);
		else
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("output plugin \"realtime\" has no option \"%s\"", option->defname),
					 errhint("It has include-transactions, include-xid, include-lsn and include-timestamp.")));
	}
}

static void
startup(LogicalDecodingContext *ctx, OutputPluginOptions *options, bool is_init)
{
	Plugin	   *plugin = palloc0(sizeof(Plugin));

	plugin->context = AllocSetContextCreate(ctx->context, "realtime output plugin", ALLOCSET_DEFAULT_SIZES);
	plugin->xid = true;
	plugin->lsn = true;
	plugin->timestamp = true;
	read_options(ctx->output_plugin_options, plugin);
	ctx->output_plugin_private = plugin;
	options->output_type = OUTPUT_PLUGIN_TEXTUAL_OUTPUT;
	options->receive_rewrites = false;
}

/* In UTC, whatever the session's time zone. */
static void
append_timestamp(StringInfo out, TimestampTz at)
{
	char		text[MAXDATELEN + 1];
	const int	utc = 0;

	JsonEncodeDateTime(text, TimestampTzGetDatum(at), TIMESTAMPTZOID, &utc);
	appendStringInfo(out, ",\"committed_at\":\"%s\"", text);
}

/* Opens the object: everything that all actions have. */
static void
begin_object(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, const char *action, XLogRecPtr lsn)
{
	Plugin	   *plugin = ctx->output_plugin_private;

	OutputPluginPrepareWrite(ctx, true);
	appendStringInfo(ctx->out, "{\"action\":\"%s\"", action);
	if (plugin->xid)
		appendStringInfo(ctx->out, ",\"xid\":%u", txn->xid);
	if (plugin->lsn)
		appendStringInfo(ctx->out, ",\"lsn\":\"%X/%X\"", LSN_FORMAT_ARGS(lsn));
	if (plugin->timestamp)
		append_timestamp(ctx->out, txn->xact_time.commit_time);
}

static void
end_object(LogicalDecodingContext *ctx)
{
	appendStringInfoChar(ctx->out, '}');
	OutputPluginWrite(ctx, true);
}

static void
begin_transaction(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	if (!((Plugin *) ctx->output_plugin_private)->transactions)
		return;
	begin_object(ctx, txn, "BEGIN", txn->first_lsn);
	end_object(ctx);
}

static void
commit_transaction(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr commit_lsn)
{
	if (!((Plugin *) ctx->output_plugin_private)->transactions)
		return;
	begin_object(ctx, txn, "COMMIT", commit_lsn);
	end_object(ctx);
}

static void
append_change(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, Relation relation, ReorderBufferChange *change)
{
	HeapTuple	new = change->data.tp.newtuple ? CHANGE_TUPLE(change->data.tp.newtuple) : NULL;
	HeapTuple	old = change->data.tp.oldtuple ? CHANGE_TUPLE(change->data.tp.oldtuple) : NULL;

	begin_object(ctx, txn,
				 change->action == REORDER_BUFFER_CHANGE_INSERT ? "INSERT" :
				 change->action == REORDER_BUFFER_CHANGE_UPDATE ? "UPDATE" : "DELETE", change->lsn);
	change_json_relation(ctx->out, relation);
	if (new != NULL)
		change_json_columns(ctx->out, relation, new);
	if (change->action != REORDER_BUFFER_CHANGE_INSERT)
		change_json_identity(ctx->out, relation, old, new);
	end_object(ctx);
}

static void
change(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, Relation relation, ReorderBufferChange *change)
{
	Plugin	   *plugin = ctx->output_plugin_private;
	MemoryContext before = MemoryContextSwitchTo(plugin->context);

	append_change(ctx, txn, relation, change);
	MemoryContextSwitchTo(before);
	MemoryContextReset(plugin->context);
}

static void
truncate_tables(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, int n, Relation relations[],
				ReorderBufferChange *change)
{
	for (int i = 0; i < n; i++)
	{
		begin_object(ctx, txn, "TRUNCATE", change->lsn);
		change_json_relation(ctx->out, relations[i]);
		appendStringInfo(ctx->out, ",\"cascade\":%s,\"restart_identity\":%s",
						 change->data.truncate.cascade ? "true" : "false",
						 change->data.truncate.restart_seqs ? "true" : "false");
		end_object(ctx);
	}
}

/* Rows that are moved between partitions of realtime.messages are no changes. */
static bool
refuse_origin(LogicalDecodingContext *ctx, RepOriginId origin)
{
	return origin == DoNotReplicateId;
}

void
plugin_set_callbacks(PluginCallbacksFunction function)
{
	other_callbacks = function;
}

void
_PG_output_plugin_init(OutputPluginCallbacks *callbacks)
{
	if (other_callbacks != NULL)
	{
		other_callbacks(callbacks);
		return;
	}
	callbacks->startup_cb = startup;
	callbacks->begin_cb = begin_transaction;
	callbacks->change_cb = change;
	callbacks->truncate_cb = truncate_tables;
	callbacks->commit_cb = commit_transaction;
	callbacks->filter_by_origin_cb = refuse_origin;
}
