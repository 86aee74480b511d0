/*
 * claims_policy_test.c
 *	  The sources of src/access that judge changes, in a library of their own, to be driven from SQL.
 *
 *	  verdicts(table regclass, role name, claims text, user_number int) returns setof (id int, verdict text)
 *		  What each row of a table, whose first column is its primary key, is judged: true, false or
 *		  the SQLSTATE of an error.
 *	  judge_often(table regclass, role name, claims text[], rounds int) returns (nanoseconds float8, visible bigint)
 *		  Judge the first row for each of these users in turn, so many times: the time of one verdict,
 *		  and how many were true. Users have the numbers 1000000 and up.
 *	  facts(table regclass, role name, claims text, user_number int) returns text
 *	  forget_user(user_number int) returns void
 *	  generation_of_roles() returns bigint
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "access/claims_policy.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(verdicts);
PG_FUNCTION_INFO_V1(judge_often);
PG_FUNCTION_INFO_V1(facts);
PG_FUNCTION_INFO_V1(forget_user);
PG_FUNCTION_INFO_V1(generation_of_roles);

/* In the server this is a setting of the extension. */
char	   *realtime_allowed_roles = "anon, authenticated";

void		_PG_init(void);

void
_PG_init(void)
{
	claims_policy_init();
}

static ClaimsUser
make_user(Name role, const char *claims, uint32 number)
{
	ClaimsUser	user = {.number = number,.claims = claims};

	user.role_name = NameStr(*role);
	user.role = get_role_oid(user.role_name, false);
	return user;
}

/* One verdict, as the changes worker asks for it: what a policy raises is caught, and the policy dropped. */
static const char *
verdict_of(Relation table, const ClaimsUser *user, TupleTableSlot *slot)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	const char *volatile verdict = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		verdict = claims_policy_judge(claims_policy_get(table, user), slot) ? "true" : "false";
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		claims_policy_forget(RelationGetRelid(table), user->number);
		verdict = pstrdup(unpack_sql_state(error->sqlerrcode));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return verdict;
}

Datum
verdicts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Relation	table = table_open(PG_GETARG_OID(0), AccessShareLock);
	ClaimsUser	user = make_user(PG_GETARG_NAME(1), text_to_cstring(PG_GETARG_TEXT_PP(2)), PG_GETARG_UINT32(3));
	TupleTableSlot *slot = table_slot_create(table, NULL);
	TableScanDesc scan = table_beginscan(table, GetActiveSnapshot(), 0, NULL);

	InitMaterializedSRF(fcinfo, 0);
	PushCopiedSnapshot(GetActiveSnapshot());
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		Datum		values[2];
		bool		nulls[2] = {false, false};

		values[0] = slot_getattr(slot, 1, &nulls[0]);
		values[1] = CStringGetTextDatum(verdict_of(table, &user, slot));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	PopActiveSnapshot();
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(table, AccessShareLock);
	return (Datum) 0;
}

/* Open or not, plain or not, the numbers of the columns that policies read, and of those that the role may. */
Datum
facts(PG_FUNCTION_ARGS)
{
	Relation	table = table_open(PG_GETARG_OID(0), AccessShareLock);
	ClaimsUser	user = make_user(PG_GETARG_NAME(1), text_to_cstring(PG_GETARG_TEXT_PP(2)), PG_GETARG_UINT32(3));
	ClaimsPolicy *policy = claims_policy_get(table, &user);
	StringInfoData text;
	int			member = -1;
	Bitmapset  *readable = readable_columns(table, user.role);

	initStringInfo(&text);
	appendStringInfo(&text, "%s %s, reads", claims_policy_is_open(policy) ? "open" : "secured",
					 claims_policy_is_plain(policy) ? "plain" : "limited");
	while ((member = bms_next_member(claims_policy_columns(policy), member)) >= 0)
		appendStringInfo(&text, " %d", member + FirstLowInvalidHeapAttributeNumber);
	appendStringInfoString(&text, ", readable");
	member = -1;
	while ((member = bms_next_member(readable, member)) >= 0)
		appendStringInfo(&text, " %d", member + FirstLowInvalidHeapAttributeNumber);
	table_close(table, AccessShareLock);
	PG_RETURN_TEXT_P(cstring_to_text(text.data));
}

Datum
forget_user(PG_FUNCTION_ARGS)
{
	claims_policy_forget_user(PG_GETARG_UINT32(0));
	PG_RETURN_VOID();
}

Datum
generation_of_roles(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) role_generation());
}

Datum
judge_often(PG_FUNCTION_ARGS)
{
	Relation	table = table_open(PG_GETARG_OID(0), AccessShareLock);
	Name		role = PG_GETARG_NAME(1);
	int			rounds = PG_GETARG_INT32(3);
	TupleTableSlot *slot = table_slot_create(table, NULL);
	TableScanDesc scan = table_beginscan(table, GetActiveSnapshot(), 0, NULL);
	TupleDesc	desc;
	Datum	   *claims;
	int			count;
	ClaimsUser *users;
	int64		visible = 0;
	instr_time	start;
	instr_time	end;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "judge_often returns a row");
	if (!table_scan_getnextslot(scan, ForwardScanDirection, slot))
		elog(ERROR, "the table is empty");
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), TEXTOID, -1, false, TYPALIGN_INT, &claims, NULL, &count);
	users = palloc(count * sizeof(ClaimsUser));
	for (int i = 0; i < count; i++)
	{
		users[i] = make_user(role, TextDatumGetCString(claims[i]), 1000000 + i);
		(void) claims_policy_get(table, &users[i]);
	}
	INSTR_TIME_SET_CURRENT(start);
	for (int round = 0; round < rounds; round++)
	{
		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < count; i++)
			visible += claims_policy_judge(claims_policy_get(table, &users[i]), slot);
	}
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(table, AccessShareLock);
	values[0] = Float8GetDatum(INSTR_TIME_GET_DOUBLE(end) * 1e9 / rounds / count);
	values[1] = Int64GetDatum(visible);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
