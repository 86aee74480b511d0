/*
 * message_policy.c
 *	  One question about realtime.messages.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/prepare.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "access/message_policy.h"
#include "access/policy.h"
#include "access/policy_watch.h"
#include "access/role.h"
#include "access/stored_messages.h"
#include "shared/log_limit.h"
#include "shared/server_text.h"
#include "shared/settings.h"

/* The columns of the probe row that it needs, by name; user columns added to the table stay null. */
typedef struct Probe
{
	Relation	table;
	TupleTableSlot *slot;
	List	   *read_columns;	/* that the reference's SELECT names */
	List	   *write_columns;	/* that its INSERT names */
} Probe;

/* What the error context shows. */
typedef struct Asked
{
	const char *topic;
	const char *role;
} Asked;

static MemoryContext question_context;

void
message_policy_init(bool watch_all)
{
	question_context = AllocSetContextCreate(TopMemoryContext, "realtime question", ALLOCSET_DEFAULT_SIZES);
	policy_init();
	policy_watch_init(watch_all);
}

static Oid
messages_table(void)
{
	Oid			schema = get_namespace_oid("realtime", false);
	Oid			table = get_relname_relid("messages", schema);

	if (!OidIsValid(table))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table realtime.messages does not exist"),
				 errhint("CREATE EXTENSION realtime.")));
	return table;
}

static char *
text_of(Slice slice)
{
	return server_text(slice, "a topic or a claim that policies read");
}

/* These are what policies read; they go with the transaction. */
static void
set_claims(const Question *question, const char *topic, const char *role)
{
	struct
	{
		const char *name;
		const char *value;
	}			settings[] =
	{
		{"realtime.topic", topic},
		{"request.jwt.claims", text_of(question->claims)},
		{"request.jwt.claim.sub", text_of(question->sub)},
		{"request.jwt.claim.role", role},
		{"request.headers", question->headers.len > 0 ? text_of(question->headers) : "{}"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i].name, settings[i].value, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
}

static AttrNumber
set_column(Probe *probe, const char *name, Datum value)
{
	AttrNumber	number = get_attnum(RelationGetRelid(probe->table), name);

	if (number == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of realtime.messages does not exist", name)));
	probe->slot->tts_values[number - 1] = value;
	probe->slot->tts_isnull[number - 1] = false;
	return number;
}

static Datum
random_id(void)
{
	pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

	if (!pg_strong_random(id->data, UUID_LEN))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	id->data[6] = (id->data[6] & 0x0f) | 0x40;
	id->data[8] = (id->data[8] & 0x3f) | 0x80;
	return UUIDPGetDatum(id);
}

/* The partition that the row would lie in: it is the row's tableoid. */
static Oid
partition_of(Relation table, Datum inserted_at)
{
	PartitionKey key = RelationGetPartitionKey(table);
	PartitionDesc partitions;
	bool		equal;
	int			bound;
	int			index;

	if (key == NULL || key->strategy != PARTITION_STRATEGY_RANGE || key->partnatts != 1)
		return RelationGetRelid(table);
	partitions = RelationGetPartitionDesc(table, true);
	if (partitions->nparts == 0)
		return RelationGetRelid(table);
	bound = partition_range_datum_bsearch(key->partsupfunc, key->partcollation, partitions->boundinfo, 1,
										  &inserted_at, &equal);
	index = partitions->boundinfo->indexes[bound + 1];
	if (index < 0)
		index = partitions->boundinfo->default_index;
	return index < 0 ? RelationGetRelid(table) : partitions->oids[index];
}

/* The row that the reference inserts: topic, extension and the two timestamps, defaults for id and private, nothing else. */
static Probe
make_probe(const char *topic)
{
	Probe		probe;
	AttrNumber	id;
	AttrNumber	topic_column;
	AttrNumber	inserted_at;
	AttrNumber	updated_at;
	Datum		now = TimestampGetDatum((Timestamp) GetCurrentTransactionStartTimestamp());

	probe.table = table_open(messages_table(), AccessShareLock);
	probe.slot = MakeSingleTupleTableSlot(RelationGetDescr(probe.table), &TTSOpsVirtual);
	ExecStoreAllNullTuple(probe.slot);
	probe.slot->tts_tableOid = partition_of(probe.table, now);
	id = set_column(&probe, "id", random_id());
	set_column(&probe, "private", BoolGetDatum(false));
	topic_column = set_column(&probe, "topic", CStringGetTextDatum(topic));
	/* A TimestampTz is the number of microseconds in UTC, which is just what the columns hold. */
	inserted_at = set_column(&probe, "inserted_at", now);
	updated_at = set_column(&probe, "updated_at", now);
	probe.read_columns = list_make1_int(id);
	probe.write_columns = list_make3_int(topic_column, inserted_at, updated_at);
	return probe;
}

/* Judge one extension. The INSERT of the reference runs in a savepoint each, so that an error of one is that of both here too. */
static bool
judge(Probe *probe, Oid role, const Question *question, const char *extension)
{
	AttrNumber	column = set_column(probe, "extension", CStringGetTextDatum(extension));
	bool		read = question->kind == QUESTION_READ;
	List	   *columns = read ? probe->read_columns : lappend_int(list_copy(probe->write_columns), column);

	return policy_judge(RelationGetRelid(probe->table), role, read ? CMD_SELECT : CMD_INSERT, columns, probe->slot);
}

static void
judge_question(const Question *question, const char *topic, const char *role_name, Answer *answer)
{
	Oid			role = role_resolve(role_name);
	Probe		probe = make_probe(topic);
	RoleSaved	saved;

	set_claims(question, topic, role_name);
	role_become(role, &saved);
	answer->broadcast = judge(&probe, role, question, "broadcast");
	if (question->presence)
		answer->presence = judge(&probe, role, question, "presence");
	role_return(&saved);
	ExecDropSingleTupleTableSlot(probe.slot);
	table_close(probe.table, AccessShareLock);
	answer->status = ANSWER_JUDGED;
}

static void
say_what_was_asked(void *arg)
{
	Asked	   *asked = arg;

	errcontext("realtime policy check of topic \"%s\" as role \"%s\"", asked->topic, asked->role);
}

/* Log what a policy raised, but do not let a hostile client fill the disk with it. */
static void
log_failure(void)
{
	static LogLimit limit;
	int			left_out;
	bool		allowed = log_limit_allows(&limit, &left_out);

	if (left_out > 0)
		ereport(LOG, (errmsg("realtime: %d more errors of policies were not logged", left_out)));
	if (allowed)
		EmitErrorReport();
}

/*
 * Session state that outlives a rolled-back transaction is given back too: a policy may have taken advisory locks or
 * prepared statements.
 */
static void
clean_session(void)
{
	LockReleaseAll(USER_LOCKMETHOD, true);
	DropAllPreparedStatements();
}

/* In a transaction that has just begun. */
static bool
policies_changed(void)
{
	Oid			schema = get_namespace_oid("realtime", true);
	Oid			table = OidIsValid(schema) ? get_relname_relid("messages", schema) : InvalidOid;

	return OidIsValid(table) && policy_watch(table);
}

/* In a transaction. The clock runs from here, not from when the question was asked. */
static void
judge_in_time(const Question *question, Asked *asked, Answer *answer)
{
	asked->topic = text_of(question->topic);
	asked->role = text_of(question->role);
	enable_timeout_after(STATEMENT_TIMEOUT, realtime_policy_timeout);
	PushActiveSnapshot(GetTransactionSnapshot());
	judge_question(question, asked->topic, asked->role, answer);
	if (question->replay_limit > 0 && answer->broadcast)
	{
		/* Whatever goes wrong from here on is no fault of the policies. */
		answer->replay = REPLAY_FAILED;
		stored_messages_publish(question, asked->topic, answer);
	}
	PopActiveSnapshot();
}

Answer
message_policy_answer(const Question *question, bool *changed)
{
	volatile Answer answer = {.status = ANSWER_FAILED};
	MemoryContext previous = MemoryContextSwitchTo(question_context);
	Asked		asked = {"", ""};
	ErrorContextCallback callback = {error_context_stack, say_what_was_asked, &asked};
	volatile bool failed = false;

	*changed = false;
	PG_TRY();
	{
		error_context_stack = &callback;
		SetCurrentStatementStartTimestamp();
		StartTransactionCommand();
		MemoryContextSwitchTo(question_context);
		*changed = policies_changed();
		judge_in_time(question, &asked, (Answer *) &answer);
		disable_timeout(STATEMENT_TIMEOUT, false);
	}
	PG_CATCH();
	{
		disable_timeout(STATEMENT_TIMEOUT, false);
		if (answer.replay != REPLAY_FAILED)
			answer = (Answer) {.status = geterrcode() == ERRCODE_QUERY_CANCELED ? ANSWER_CANCELED : ANSWER_FAILED};
		log_failure();
		FlushErrorState();
		failed = true;
	}
	PG_END_TRY();
	error_context_stack = callback.previous;

	/* The timeout may have fired just before it was turned off: that must not cancel the next question. */
	QueryCancelPending = false;
	AbortCurrentTransaction();
	clean_session();
	if (failed)
		policy_forget_all();
	*changed = *changed || policy_watch_moved();
	MemoryContextSwitchTo(previous);
	MemoryContextReset(question_context);
	return answer;
}

bool
message_policy_changed(void)
{
	MemoryContext previous = MemoryContextSwitchTo(question_context);
	bool		changed;

	StartTransactionCommand();
	MemoryContextSwitchTo(question_context);
	changed = policies_changed();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(previous);
	MemoryContextReset(question_context);
	return changed;
}
