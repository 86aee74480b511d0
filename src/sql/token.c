/*
 * token.c
 *	  realtime.issue_token: a JSON Web Token signed with realtime.jwt_secret.
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "shared/settings.h"
#include "shared/shmem.h"
#include "wire/jwt.h"

PG_FUNCTION_INFO_V1(realtime_issue_token);

#define EPOCH_SHIFT	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

static int64
unix_seconds(TimestampTz at)
{
	return at / USECS_PER_SEC + EPOCH_SHIFT;
}

/* The claims with role, iat and exp, which win over members of these names. */
static char *
claims_text(Datum claims, text *role, Interval *expires_in)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(now),
															  IntervalPGetDatum(expires_in)));
	StringInfoData ours;
	Jsonb	   *all;

	if (TIMESTAMP_NOT_FINITE(end))
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("expires_in is out of range"),
				 errhint("Every token has to expire: give a finite interval.")));
	initStringInfo(&ours);
	appendStringInfoString(&ours, "{\"role\": ");
	escape_json(&ours, text_to_cstring(role));
	appendStringInfo(&ours, ", \"iat\": " INT64_FORMAT ", \"exp\": " INT64_FORMAT "}", unix_seconds(now),
					 unix_seconds(end));
	all = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, claims,
											 DirectFunctionCall1(jsonb_in, CStringGetDatum(ours.data))));
	return JsonbToCString(NULL, &all->root, VARSIZE(all));
}

static void
require_argument(FunctionCallInfo fcinfo, int argument, const char *name, const char *hint)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name),
				 errhint("%s", hint)));
}

/* realtime.issue_token(role text, claims jsonb, expires_in interval) */
Datum
realtime_issue_token(PG_FUNCTION_ARGS)
{
	char	   *claims;
	char	   *utf8;
	Size		size;
	Writer		token;

	shmem_require();
	require_argument(fcinfo, 0, "role", "Give the database role of the token's bearer, such as anon.");
	require_argument(fcinfo, 1, "claims", "Give a JSON object, '{}' for no further claims.");
	require_argument(fcinfo, 2, "expires_in", "Every token has to expire.");
	if (!JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(1)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("claims must be a JSON object"),
				 errhint("For example '{\"sub\": \"...\"}'.")));
	if (realtime_jwt_secret[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there is no secret to sign with"),
				 errhint("Set realtime.jwt_secret to at least %d bytes and reload the configuration.",
						 REALTIME_MIN_SECRET)));

	claims = claims_text(PG_GETARG_DATUM(1), PG_GETARG_TEXT_PP(0), PG_GETARG_INTERVAL_P(2));
	utf8 = pg_server_to_any(claims, strlen(claims), PG_UTF8);
	size = JWT_SIGNED_SIZE(strlen(utf8));
	if (size > JWT_MAX_TOKEN)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the token would be longer than %d bytes", JWT_MAX_TOKEN),
				 errhint("Give fewer claims.")));
	token = writer_fixed(palloc(size), size);
	if (!jwt_sign_hs256(slice_cstring(realtime_jwt_secret), slice_cstring(utf8), &token))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("the token could not be signed")));
	PG_RETURN_TEXT_P(cstring_to_text_with_len(token.data, token.len));
}
