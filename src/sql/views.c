/*
 * views.c
 *	  The functions behind the views realtime.workers, stats, connections, channels, presence and subscription.
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "shared/bus.h"
#include "shared/counters.h"
#include "shared/figures.h"
#include "shared/inspect.h"
#include "shared/registry.h"
#include "shared/settings.h"
#include "shared/shmem.h"
#include "wire/json.h"

PG_FUNCTION_INFO_V1(realtime_list_workers);
PG_FUNCTION_INFO_V1(realtime_list_stats);
PG_FUNCTION_INFO_V1(realtime_list_connections);
PG_FUNCTION_INFO_V1(realtime_list_channels);
PG_FUNCTION_INFO_V1(realtime_list_presence);
PG_FUNCTION_INFO_V1(realtime_list_subscriptions);

#define MAX_COLUMNS		16

/* Is a row for the caller? It may change some of its fields to null. */
typedef bool (*ShowRow) (Datum *values, bool *nulls);

typedef struct Inspecting
{
	ReturnSetInfo *result;
	ShowRow		show;			/* NULL: all of them */
} Inspecting;

static void
put_worker(ReturnSetInfo *result, WorkerInfo info)
{
	Datum		values[7];
	bool		nulls[7] = {false};

	values[0] = CStringGetTextDatum(worker_kind_name(info.kind));
	values[1] = Int32GetDatum(info.pid);
	nulls[1] = info.pid == 0;
	values[2] = CStringGetTextDatum(worker_state_name(info.state));
	values[3] = TimestampTzGetDatum(info.since);
	values[4] = Int64GetDatum(info.generation > 0 ? (int64) info.generation - 1 : 0);
	values[5] = LSNGetDatum(info.position);
	nulls[5] = info.position == InvalidXLogRecPtr;
	values[6] = Int64GetDatum(info.kind == WORKER_LISTENER ? bus_reader_lag(info.index) : info.lag);
	nulls[6] = info.kind == WORKER_LAUNCHER || info.kind == WORKER_AUTHORIZER;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
realtime_list_workers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	WorkerInfo	info;

	shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; registry_nth(i, &info); i++)
		put_worker(result, info);
	return (Datum) 0;
}

static void
put_stat(ReturnSetInfo *result, const char *name, int64 value)
{
	Datum		values[2] = {CStringGetTextDatum(name), Int64GetDatum(value)};
	bool		nulls[2] = {false, false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

Datum
realtime_list_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Figure		figure;

	shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < COUNTERS; i++)
		put_stat(result, counter_name(i), counter_get(i));
	for (int i = 0; figure_nth(i, &figure); i++)
		put_stat(result, figure.name, figure.value);
	return (Datum) 0;
}

/*
 * A field that a listener wrote, as a value of this type. Text is UTF-8 there and in the database's encoding here.
 */
static Datum
field_value(Slice field, Oid type)
{
	char	   *text = pnstrdup(field.data, field.len);
	Oid			function;
	Oid			element;

	switch (type)
	{
		case BOOLOID:
			return DirectFunctionCall1(boolin, CStringGetDatum(text));
		case INT4OID:
			return DirectFunctionCall1(int4in, CStringGetDatum(text));
		case INT8OID:
			return DirectFunctionCall1(int8in, CStringGetDatum(text));
		case TIMESTAMPTZOID:
			return DirectFunctionCall3(timestamptz_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
									   Int32GetDatum(-1));
		case JSONOID:
			text = pg_any_to_server(text, strlen(text), PG_UTF8);
			return DirectFunctionCall1(json_in, CStringGetDatum(text));
		case INETOID:
			return DirectFunctionCall1(inet_in, CStringGetDatum(text));
		case TEXTARRAYOID:
			getTypeInputInfo(TEXTARRAYOID, &function, &element);
			text = pg_any_to_server(text, strlen(text), PG_UTF8);
			return OidInputFunctionCall(function, text, element, -1);
		default:
			Assert(type == TEXTOID);
			return CStringGetTextDatum(pg_any_to_server(text, strlen(text), PG_UTF8));
	}
}

/* InspectCallback: the rows of one page. */
static void
put_page(int listener, const char *page, Size length, void *arg)
{
	Inspecting *inspecting = arg;
	ReturnSetInfo *result = inspecting->result;
	TupleDesc	columns = result->setDesc;
	Datum		values[MAX_COLUMNS];
	bool		nulls[MAX_COLUMNS];
	Size		offset = 0;
	Slice		field;
	int			column = 0;

	Assert(columns->natts <= MAX_COLUMNS);
	while (inspect_next_field(page, length, &offset, &field))
	{
		nulls[column] = field.data == NULL;
		values[column] = nulls[column] ? (Datum) 0 : field_value(field, TupleDescAttr(columns, column)->atttypid);
		if (++column == columns->natts)
		{
			if (inspecting->show == NULL || inspecting->show(values, nulls))
				tuplestore_putvalues(result->setResult, columns, values, nulls);
			column = 0;
		}
	}
	if (column != 0)
		elog(ERROR, "realtime listener %d sent a row with %d of %d fields", listener, column, columns->natts);
}

static Datum
inspect(FunctionCallInfo fcinfo, InspectWhat what, ShowRow show)
{
	Inspecting	inspecting = {.result = (ReturnSetInfo *) fcinfo->resultinfo,.show = show};

	shmem_require();
	InitMaterializedSRF(fcinfo, 0);
	inspect_all(what, NULL, put_page, &inspecting);
	return (Datum) 0;
}

Datum
realtime_list_connections(PG_FUNCTION_ARGS)
{
	return inspect(fcinfo, INSPECT_CONNECTIONS, NULL);
}

Datum
realtime_list_channels(PG_FUNCTION_ARGS)
{
	return inspect(fcinfo, INSPECT_CHANNELS, NULL);
}

Datum
realtime_list_presence(PG_FUNCTION_ARGS)
{
	return inspect(fcinfo, INSPECT_PRESENCE, NULL);
}

/* Columns of list_subscriptions that decide who sees a row, or are not for everybody. */
enum
{
	SUBSCRIBED_ROLE = 10,
	SUBSCRIBED_SUB = 11,
	SUBSCRIBED_CLAIMS = 12
};

/*
 * For whom an API works in this transaction, as auth.uid() finds out. False: for nobody, SQL comes from the caller himself.
 * *sub is NULL if the claims have none.
 */
static bool
request_sub(char **sub)
{
	const char *old_form = GetConfigOption("request.jwt.claim.sub", true, false);
	const char *claims = GetConfigOption("request.jwt.claims", true, false);
	Slice		object;
	Slice		value;
	Slice		text;
	char	   *buffer;

	*sub = NULL;
	if (old_form != NULL && old_form[0] != '\0')
	{
		*sub = pstrdup(old_form);
		return true;
	}
	if (claims == NULL || claims[0] == '\0')
		return false;
	buffer = palloc(strlen(claims) + 1);
	if (wjson_parse(slice_cstring(claims), &object) && wjson_member(object, SLICE_LITERAL("sub"), &value) &&
		wjson_string_text(value, buffer, strlen(claims) + 1, &text, NULL))
		*sub = pnstrdup(text.data, text.len);
	return true;
}

/*
 * Members of pg_monitor see all. Others see what was subscribed with a role that they are a member of; and since all users of an
 * application have the same role, they see in a request of its API only what is theirs by their sub, and without a
 * request no claims.
 */
static bool
show_subscription(Datum *values, bool *nulls)
{
	Oid			caller = GetUserId();
	Oid			role = get_role_oid(TextDatumGetCString(values[SUBSCRIBED_ROLE]), true);
	char	   *sub;

	if (has_privs_of_role(caller, ROLE_PG_MONITOR))
		return true;
	if (!OidIsValid(role) || !is_member_of_role(caller, role))
		return false;
	if (request_sub(&sub))
		return sub != NULL && !nulls[SUBSCRIBED_SUB] && strcmp(sub, TextDatumGetCString(values[SUBSCRIBED_SUB])) == 0;
	nulls[SUBSCRIBED_SUB] = nulls[SUBSCRIBED_CLAIMS] = true;
	return true;
}

Datum
realtime_list_subscriptions(PG_FUNCTION_ARGS)
{
	return inspect(fcinfo, INSPECT_SUBSCRIPTIONS, show_subscription);
}
