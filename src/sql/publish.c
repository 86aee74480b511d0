/*
 * publish.c
 *	  realtime.send, realtime.send_binary and realtime.broadcast_changes: insert a row into realtime.messages.
 *
 * They run with the rights of the caller, whose privileges and policies decide. Whatever would keep the message from
 * being delivered is an error here, so that nobody commits what nobody will get.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "shared/registry.h"
#include "shared/settings.h"
#include "shared/shmem.h"

PG_FUNCTION_INFO_V1(realtime_send);
PG_FUNCTION_INFO_V1(realtime_send_binary);
PG_FUNCTION_INFO_V1(realtime_broadcast_changes);

/* Longest event, in bytes: with the topic it has to fit beside the longest payload. */
#define MAX_EVENT	REALTIME_MAX_TOPIC

typedef enum PayloadKind
{
	PAYLOAD_JSON,
	PAYLOAD_BINARY,
	PAYLOAD_KINDS
} PayloadKind;

static const char *const inserts[PAYLOAD_KINDS] = {
	"insert into realtime.messages (id, payload, event, topic, private, extension)"
	" values ($1, $2, $3, $4, $5, 'broadcast')",
	"insert into realtime.messages (id, binary_payload, event, topic, private, extension)"
	" values ($1, $2, $3, $4, $5, 'broadcast')"
};

/* Prepared at the first call of each kind, kept for the life of the backend. */
static SPIPlanPtr plans[PAYLOAD_KINDS];

/* In a database that nobody serves a message would be lost without anybody noticing. */
static void
require_served_database(void)
{
	static bool served = false;

	shmem_require();
	if (served || registry_database() == MyDatabaseId)
		return;
	served = strcmp(get_database_name(MyDatabaseId), realtime_database) == 0;
	if (!served)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("messages from this database are not delivered"),
				 errdetail("realtime.database is \"%s\".", realtime_database),
				 errhint("Publish from that database, or set realtime.database to this one and restart the server.")));
}

static void
require_not_null(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name),
				 errhint("A message without %s can't be delivered.", name)));
}

/* An argument that ends up as the name of something: not null, not too long. */
static text *
name_argument(FunctionCallInfo fcinfo, int argument, const char *name, int longest)
{
	text	   *value;

	require_not_null(fcinfo, argument, name);
	value = PG_GETARG_TEXT_PP(argument);
	if (VARSIZE_ANY_EXHDR(value) > longest)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s has %d bytes, at most %d are allowed", name, (int) VARSIZE_ANY_EXHDR(value), longest),
				 errhint("Use a shorter %s, and put the rest into the payload.", name)));
	return value;
}

static text *
topic_argument(FunctionCallInfo fcinfo, int argument)
{
	text	   *topic = name_argument(fcinfo, argument, "topic", REALTIME_MAX_TOPIC);

	if (VARSIZE_ANY_EXHDR(topic) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("topic must not be empty"),
				 errhint("Give the name that clients pass to channel().")));
	return topic;
}

static bool
private_argument(FunctionCallInfo fcinfo, int argument)
{
	require_not_null(fcinfo, argument, "private");
	return PG_GETARG_BOOL(argument);
}

static void
check_payload_size(Size size)
{
	if (size > settings_max_payload())
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("payload has %zu bytes, at most %zu are delivered", size, settings_max_payload()),
				 errhint("Raise realtime.max_payload_size (and realtime.bus_size, a quarter of which it can't exceed), "
						 "or send a reference to the data instead.")));
}

/* Error context callback: what to do about a missing privilege or policy. */
static void
add_privilege_hint(void *arg)
{
	if (geterrcode() == ERRCODE_INSUFFICIENT_PRIVILEGE)
		errhint("The caller needs the privilege INSERT on realtime.messages and, unless it bypasses row level security, "
				"a policy for INSERT on it; or publish from a SECURITY DEFINER function.");
}

static SPIPlanPtr
insert_plan(PayloadKind kind)
{
	Oid			types[] = {UUIDOID, kind == PAYLOAD_JSON ? JSONBOID : BYTEAOID, TEXTOID, TEXTOID, BOOLOID};

	if (plans[kind] == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(inserts[kind], lengthof(types), types);

		if (plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		if (SPI_keepplan(plan) != 0)
			elog(ERROR, "SPI_keepplan failed");
		plans[kind] = plan;
	}
	return plans[kind];
}

/* Insert the row. The setting realtime.topic stays until the end of the transaction, as policies expect. */
static void
insert_message(PayloadKind kind, Datum id, Datum payload, text *event, text *topic, bool private)
{
	Datum		values[] = {id, payload, PointerGetDatum(event), PointerGetDatum(topic), BoolGetDatum(private)};
	ErrorContextCallback context;
	int			result;

	(void) set_config_option("realtime.topic", text_to_cstring(topic), PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
							 true, 0, false);

	context.callback = add_privilege_hint;
	context.arg = NULL;
	context.previous = error_context_stack;
	error_context_stack = &context;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	result = SPI_execute_plan(insert_plan(kind), values, NULL, false, 0);
	if (result != SPI_OK_INSERT)
		elog(ERROR, "insert into realtime.messages failed: %s", SPI_result_code_string(result));
	SPI_finish();

	error_context_stack = context.previous;
}

/* The payload with a member "id", if it has none of its own. */
static Jsonb *
payload_with_id(Jsonb *payload, Datum id)
{
	char		member[64];
	Datum		object;

	if (getKeyJsonValueFromContainer(&payload->root, "id", 2, NULL) != NULL)
		return payload;
	snprintf(member, sizeof(member), "{\"id\": \"%s\"}", DatumGetCString(DirectFunctionCall1(uuid_out, id)));
	object = DirectFunctionCall1(jsonb_in, CStringGetDatum(member));
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(payload), object));
}

static void
send_json(Jsonb *payload, text *event, text *topic, bool private)
{
	Datum		id;
	char	   *json;

	if (!JB_ROOT_IS_OBJECT(payload))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("payload must be a JSON object"),
				 errhint("Wrap the value in an object, such as {\"value\": ...}.")));
	id = DirectFunctionCall1(gen_random_uuid, (Datum) 0);
	payload = payload_with_id(payload, id);
	json = JsonbToCString(NULL, &payload->root, VARSIZE(payload));
	check_payload_size(strlen(json));
	pfree(json);
	insert_message(PAYLOAD_JSON, id, JsonbPGetDatum(payload), event, topic, private);
}

/* realtime.send(payload jsonb, event text, topic text, private boolean) */
Datum
realtime_send(PG_FUNCTION_ARGS)
{
	require_served_database();
	require_not_null(fcinfo, 0, "payload");
	send_json(PG_GETARG_JSONB_P(0), name_argument(fcinfo, 1, "event", MAX_EVENT), topic_argument(fcinfo, 2),
			  private_argument(fcinfo, 3));
	PG_RETURN_VOID();
}

/* realtime.send_binary(payload bytea, event text, topic text, private boolean) */
Datum
realtime_send_binary(PG_FUNCTION_ARGS)
{
	text	   *event;
	text	   *topic;
	bool		private;

	require_served_database();
	require_not_null(fcinfo, 0, "payload");
	event = name_argument(fcinfo, 1, "event", MAX_EVENT);
	topic = topic_argument(fcinfo, 2);
	private = private_argument(fcinfo, 3);
	check_payload_size(toast_raw_datum_size(PG_GETARG_DATUM(0)) - VARHDRSZ);
	insert_message(PAYLOAD_BINARY, DirectFunctionCall1(gen_random_uuid, (Datum) 0), PG_GETARG_DATUM(0), event, topic,
				   private);
	PG_RETURN_VOID();
}

/* Append "name": and the row as JSON, or null. */
static void
append_record(StringInfo json, const char *name, FunctionCallInfo fcinfo, int argument)
{
	appendStringInfo(json, "\"%s\": ", name);
	if (PG_ARGISNULL(argument))
		appendStringInfoString(json, "null");
	else
		appendStringInfoString(json, TextDatumGetCString(DirectFunctionCall1(row_to_json, PG_GETARG_DATUM(argument))));
}

/* Append "name": and a text as a JSON string, or null. */
static void
append_text(StringInfo json, const char *name, FunctionCallInfo fcinfo, int argument)
{
	appendStringInfo(json, ", \"%s\": ", name);
	if (PG_ARGISNULL(argument))
		appendStringInfoString(json, "null");
	else
		escape_json(json, text_to_cstring(PG_GETARG_TEXT_PP(argument)));
}

static void
check_operation(FunctionCallInfo fcinfo)
{
	char	   *operation;

	if (!PG_ARGISNULL(7) && pg_strcasecmp(text_to_cstring(PG_GETARG_TEXT_PP(7)), "STATEMENT") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("function can only be triggered for each row, not for each statement"),
				 errhint("Create the trigger with FOR EACH ROW.")));
	require_not_null(fcinfo, 2, "operation");
	operation = text_to_cstring(PG_GETARG_TEXT_PP(2));
	if (strcmp(operation, "INSERT") != 0 && strcmp(operation, "UPDATE") != 0 && strcmp(operation, "DELETE") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("Unexpected operation type: %s", operation),
				 errhint("Pass TG_OP of a trigger for INSERT, UPDATE or DELETE.")));
}

static void
send_changes(FunctionCallInfo fcinfo)
{
	StringInfoData json;
	text	   *topic;
	text	   *event;

	topic = topic_argument(fcinfo, 0);
	event = name_argument(fcinfo, 1, "event", MAX_EVENT);
	check_operation(fcinfo);

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	append_record(&json, "old_record", fcinfo, 6);
	appendStringInfoString(&json, ", ");
	append_record(&json, "record", fcinfo, 5);
	append_text(&json, "operation", fcinfo, 2);
	append_text(&json, "table", fcinfo, 3);
	append_text(&json, "schema", fcinfo, 4);
	appendStringInfoChar(&json, '}');
	send_json(DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data))), event, topic, true);
}

/*
 * realtime.broadcast_changes(topic_name text, event_name text, operation text, table_name text, table_schema text,
 *							  new record, old record, level text)
 *
 * An error says that it was a row that could not be processed, as the reference does; its code and hint stay.
 */
Datum
realtime_broadcast_changes(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;

	require_served_database();
	PG_TRY();
	{
		send_changes(fcinfo);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		error->message = psprintf("Failed to process the row: %s", error->message);
		ReThrowError(error);
	}
	PG_END_TRY();
	PG_RETURN_VOID();
}
