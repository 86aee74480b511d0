/*
 * deliver.c
 *	  One change: who has subscribed to it, who may see it, and what of it.
 *
 * Subscriptions are judged user by user. An error ends the transaction; what it belongs to, a user's policies or one filter, is
 * noted, and the rest is judged in a new one.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/sysattr.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "access/claims_policy.h"
#include "access/policy_dependencies.h"
#include "access/role.h"
#include "changes/change_data.h"
#include "changes/deliver.h"
#include "changes/error_text.h"
#include "changes/outbox.h"
#include "changes/receivers.h"
#include "changes/row.h"
#include "changes/table.h"
#include "changes/wait.h"
#include "changes/work.h"
#include "shared/counters.h"
#include "shared/elapsed.h"
#include "shared/log_limit.h"
#include "shared/settings.h"

/*
 * How long a lock that a policy needs is waited for, in ms: well below deadlock_timeout, as the table itself is locked meanwhile. Then
 * all is let go and tried again. And how long if that has been done in vain.
 */
#define WAIT_FOR_POLICY_LOCK	50
#define LOOK_FOR_POLICY_LOCK	1

typedef struct Change
{
	const ChangeRecord *record;
	Table	   *table;
	Relation	relation;		/* NULL: it is gone */
	bool		secured;		/* its row level security applies to this change */
	bool		has_key;
	int			verdicts;		/* so far */

	/* Of the group that is being judged: */
	RoleView   *view;
	Match	   *match;			/* whose filter is being tested; NULL: none */
	List	   *raised;			/* matches to be told of, if the row is visible: what is hidden must not be found out by errors */
	bool		locking;		/* its policies are being got, with the locks that they need */
	TimestampTz waits_since;	/* for such a lock; 0: does not */
} Change;

static MemoryContext context;	/* reset after each change */
static ChangeValues *values;
static uint64 change_number;

void
deliver_init(void)
{
	context = AllocSetContextCreate(TopMemoryContext, "realtime change", ALLOCSET_DEFAULT_SIZES);
	values = change_values_make(TopMemoryContext);
}

/* -------------------------------------------------------- errors ---------------------------------------------------- */

static bool
tell(Subscription *subscription, const ChangeRecord *record, const char *why)
{
	char	   *text = psprintf("Unable to deliver a change of table %s.%s: %s", record->schema.data, record->table.data, why);
	bool		told = outbox_tell(subscription, text);

	pfree(text);
	return told;
}

static bool
concerns(const Change *change, const Match *match)
{
	return (match->entry->what.events & 1 << change->record->action) != 0 &&
		change->record->commit >= match->subscription->from;
}

/*
 * The next subscription of the user that the change might have been for, by the first of its matches; NULL: no more. last is that
 * of before, NULL to begin with.
 */
static Match *
next_concerned(const Change *change, const UserGroup *group, const Match *last)
{
	for (int i = last == NULL ? 0 : last - group->matches + 1; i < group->count; i++)
	{
		Match	   *match = &group->matches[i];

		if ((last == NULL || match->subscription != last->subscription) && concerns(change, match))
			return match;
	}
	return NULL;
}

static void
tell_group(const Change *change, const UserGroup *group, const char *why)
{
	for (Match *match = NULL; (match = next_concerned(change, group, match)) != NULL;)
		tell(match->subscription, change->record, why);
}

/* Do not let a policy that always fails fill the log. role NULL: nobody's. */
static void
log_error(const Change *change, const char *role, ErrorData *error)
{
	static LogLimit limit;
	int			left_out;
	bool		allowed = log_limit_allows(&limit, &left_out);

	if (left_out > 0)
		ereport(LOG, (errmsg("realtime: %d more errors of subscribers' policies and filters were not logged", left_out)));
	if (!allowed)
		return;
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("realtime: a change of table %s.%s could not be judged: %s", change->record->schema.data,
					change->record->table.data, error->message),
			 error->detail != NULL ? errdetail_internal("%s", error->detail) : 0,
			 error->hint != NULL ? errhint("%s", error->hint) : 0,
			 role != NULL ? errcontext("realtime changes for role \"%s\"", role) : 0));
}

static char *
text_of_error(const ErrorData *error)
{
	StringInfoData text;

	initStringInfo(&text);
	error_text_append(&text, error);
	return text.data;
}

#define TIMED_OUT	" took longer than realtime.policy_timeout"

/* Whoever misses changes meanwhile is told once, however late he came. *told is what he knows. */
static void
tell_suspension(const Change *change, Match *match, const Slowness *slowness, TimestampTz *told, const char *what)
{
	long		left;
	char	   *text;

	if (*told == slowness->suspended_until)
		return;
	left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), slowness->suspended_until);
	text = psprintf("%s" TIMED_OUT " %d times within %d s, so that changes are not delivered here for %ld s",
					what, USER_TIMEOUTS, USER_TIMEOUT_WINDOW / 1000, (left + 999) / 1000);
	if (tell(match->subscription, change->record, text))
		*told = slowness->suspended_until;
	pfree(text);
}

static void
tell_policies_suspended(const Change *change, UserGroup *group)
{
	for (Match *match = NULL; (match = next_concerned(change, group, match)) != NULL;)
		tell_suspension(change, match, group->policies, &match->policies_told, "its policies");
}

static void
policy_timed_out(const Change *change, UserGroup *group)
{
	group->policies = policy_slowness(group->user, change->record->relation, true);
	if (slowness_note(group->policies))
		tell_policies_suspended(change, group);
	else
		tell_group(change, group, "its policies" TIMED_OUT);
}

/*
 * It is a slow one from here on, pattern or not, for all whose filter it is. If it was still to be made, that is tried again with the
 * next change.
 */
static void
filter_timed_out(const Change *change, UserGroup *group)
{
	SharedFilter *filter = change->match->filter;

	filter->slow = true;
	(void) slowness_note(&group->user->filters);
	filter->change = change_number;
	filter->matches = false;
	filter->raised = "its filter" TIMED_OUT;
}

/* The policy is made anew when it is needed next: of a run that raised half may be left. */
static void
forget_policy(const Change *change, UserGroup *group)
{
	claims_policy_forget(change->record->relation, group->user->number);
	group->prepared = 0;
}

/*
 * A lock that the policies need was not to be had. It is waited for as the table itself is (wait_for_table), for all users of the role
 * once. True: try again.
 */
static bool
wait_for_policy_lock(Change *change)
{
	TimestampTz now = GetCurrentTimestamp();

	if (change->waits_since == 0)
		change->waits_since = now;
	change->view->locked |= elapsed(change->waits_since, now, realtime_policy_timeout);
	return !change->view->locked;
}

/* An error of a filter. All whose filter it is are told when the user's matches are gone through again. */
static void
blame_filter(Change *change, UserGroup *group, const ErrorData *error)
{
	SharedFilter *filter = change->match->filter;

	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		filter_timed_out(change, group);
	else if (filter->filter == NULL)
		filter->error = MemoryContextStrdup(filter->context, text_of_error(error));
	else
		filter->raised = text_of_error(error);
}

static void
blame_policy(Change *change, UserGroup *group, const ErrorData *error)
{
	forget_policy(change, group);
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		policy_timed_out(change, group);
	else if (change->locking && error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		tell_group(change, group, "a table that its policies read is locked, and that it is has taken longer than realtime.policy_timeout");
	else
		tell_group(change, group, text_of_error(error));
}

/* Whose error is it? True: the group is to be judged again. */
static bool
blame(Change *change, UserGroup *group, ErrorData *error)
{
	bool		filters = change->match != NULL;

	if (change->locking && error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE && wait_for_policy_lock(change))
	{
		forget_policy(change, group);
		return true;
	}
	log_error(change, group->user->role_name, error);
	if (filters)
		blame_filter(change, group, error);
	else
		blame_policy(change, group, error);
	return filters;
}

/* ------------------------------------------------------- filters ---------------------------------------------------- */

static bool
is_suspended(const Match *match)
{
	bool		slow = match->has_pattern || (match->filter != NULL && match->filter->slow);

	return slow && slowness_is_suspended(&match->subscription->user->filters);
}

static void
test_filter(Change *change, const Match *match)
{
	SharedFilter *filter = match->filter;

	/* To make it may call functions of users. */
	if (filter->slow || filter->filter == NULL)
		work_start_clock();
	table_filter_make(change->relation, match);
	filter->change = change_number;
	filter->raised = filter->error;
	filter->matches = false;
	if (filter->error == NULL)
		filter->matches = change_filter_matches(filter->filter, change->record, values);
}

/* Does the filter let this change through? Equal filters are asked once. Runs as the user's role. */
static bool
filter_passes(Change *change, Match *match)
{
	SharedFilter *filter = table_filter(change->table, match);

	if (is_suspended(match))
	{
		change->raised = lappend(change->raised, match);
		return false;
	}
	change->match = match;
	if (filter->change != change_number)
		test_filter(change, match);
	change->match = NULL;
	if (filter->raised != NULL)
		change->raised = lappend(change->raised, match);
	return filter->matches;
}

/* The row is visible to them. */
static void
tell_raised(const Change *change)
{
	ListCell   *cell;

	foreach(cell, change->raised)
	{
		Match	   *match = lfirst(cell);

		if (is_suspended(match))
			tell_suspension(change, match, &match->subscription->user->filters, &match->filters_told,
							"its filter, or another one of the same claims,");
		else if (match->filter->raised != NULL)
			tell(match->subscription, change->record, match->filter->raised);
	}
}

/*
 * Collect the matches of a user whose filters let the change through, or raised; false: none. What functions of types set does not
 * stay.
 */
static bool
collect(Change *change, UserGroup *group)
{
	int			before = receivers_count();
	int			level = 0;
	RoleSaved	saved;

	if (group->has_pattern)
		work_start_clock();
	role_become(group->user->role, &saved);
	for (int i = 0; i < group->count; i++)
	{
		Match	   *match = &group->matches[i];
		bool		filtered = match->entry->filter_key != NULL;

		if (!concerns(change, match))
			continue;
		if (filtered && level == 0)
			level = NewGUCNestLevel();
		if (!filtered || filter_passes(change, match))
			receivers_add(match->subscription, match->entry, change->view, NULL);
	}
	if (level != 0)
		AtEOXact_GUC(false, level);
	role_return(&saved);
	work_stop_clock();
	return receivers_count() > before || change->raised != NIL;
}

/* ------------------------------------------------------ visibility -------------------------------------------------- */

/*
 * What judging takes, made if need be: that may call functions of users, and may wait for locks, as having a plan again may; so it is
 * timed. What calls nothing and was made before costs no look at the clock. While a policy runs locks are not limited: a function of
 * users might take that for an error of its own.
 */
static ClaimsPolicy *
policy_of(Change *change, UserGroup *group)
{
	const User *user = group->user;
	ClaimsUser	claims = {user->number, user->role, user->role_name, user->claims};
	ClaimsPolicy *policy;

	if (!group->plain || group->prepared != policy_dependencies_generation())
		work_start_clock();
	change->locking = true;
	work_limit_locks(change->view->locked ? LOOK_FOR_POLICY_LOCK : WAIT_FOR_POLICY_LOCK);
	policy = claims_policy_get(change->relation, &claims);
	/* A limit that was met just when the lock came. */
	CHECK_FOR_INTERRUPTS();
	work_limit_locks(0);
	change->locking = false;
	group->prepared = policy_dependencies_generation();
	group->plain = claims_policy_is_plain(policy);
	if (!group->plain)
		change->view->locked = false;
	return policy;
}

/* May the user see the row? Raises an error if that can't be told. */
static bool
is_visible(Change *change, UserGroup *group)
{
	ClaimsPolicy *policy;
	const Bitmapset *columns;
	bool		visible;

	if (!change->secured)
		return true;
	policy = policy_of(change, group);
	visible = claims_policy_is_open(policy);
	if (!visible)
	{
		change->verdicts++;
		columns = claims_policy_columns(policy);
		if (!row_has(columns))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("its policies read a column that is not in the change or has another type now")));
		if (!group->plain)
			work_start_clock();
		visible = claims_policy_judge(policy, row_slot(group->user->role, columns));
	}
	work_stop_clock();
	return visible;
}

static const char *
row_error(const Change *change, const RoleView *view)
{
	if (change->record->action == CHANGE_DELETE)
		return NULL;
	if (!change->has_key)
		return CHANGE_ERROR_NO_KEY;
	for (int i = 0; i < change->record->column_count && !view->whole; i++)
	{
		const ChangeColumn *column = &change->record->columns[i];

		if (column->is_key && !bms_is_member(column->attnum - FirstLowInvalidHeapAttributeNumber, view->columns))
			return CHANGE_ERROR_UNAUTHORIZED;
	}
	return NULL;
}

/* Everybody who subscribed to this kind of change is told, whatever his filter. */
static void
collect_error(const Change *change, const UserGroup *group, const char *error)
{
	for (int i = 0; i < group->count; i++)
		if (concerns(change, &group->matches[i]))
			receivers_add(group->matches[i].subscription, group->matches[i].entry, change->view, error);
}

static void
judge_group(Change *change, UserGroup *group)
{
	User	   *user = group->user;
	int			before = receivers_count();
	const char *error;

	if (group->policies != NULL && slowness_is_suspended(group->policies))
	{
		tell_policies_suspended(change, group);
		return;
	}
	if (user->role_generation != role_generation() || !OidIsValid(user->role))
	{
		user->role = role_resolve(user->role_name);
		user->role_generation = role_generation();
	}
	change->view = table_view(change->table, change->relation, user->role);
	change->raised = NIL;
	error = row_error(change, change->view);
	if (error != NULL)
		collect_error(change, group, error);
	else if (collect(change, group))
	{
		if (is_visible(change, group))
			tell_raised(change);
		else
			receivers_cut(before);
	}
}

/* ------------------------------------------------------ the change -------------------------------------------------- */

/* NULL: it may be judged; else why not. The table may have changed while it was not locked, at first also who is to be asked. */
static const char *
begin_change(Change *change, bool first)
{
	const ChangeRecord *record = change->record;
	bool		over = wait_for_end(record);

	change->relation = NULL;
	if (!wait_for_table(record->relation, &change->table->locked))
		return "the table is locked, and that it is has taken longer than realtime.policy_timeout";
	if (first)
		change->table = table_get(record);
	change->relation = try_relation_open(record->relation, NoLock);
	if (change->relation == NULL)
		return "the table does not exist any more, so that it can't be told who may see it";
	change->secured = change->relation->rd_rel->relrowsecurity &&
		(record->action != CHANGE_DELETE || (record->identity_full && realtime_judge_deletes));
	if (change->secured && !over)
		return "its transaction is not visible yet, and that it is not has taken longer than realtime.policy_timeout";
	if (change->secured)
		row_begin(change->table, change->relation, record);
	return NULL;
}

/* Judge from this group on; false: an error came, *at is where to go on. */
static bool
judge_from(Change *change, volatile int *at, int n)
{
	volatile bool good = false;
	volatile int kept = receivers_count();

	PG_TRY();
	{
		for (; *at < n; (*at)++)
		{
			kept = receivers_count();
			judge_group(change, list_nth(change->table->groups, *at));
			change->waits_since = 0;
		}
		good = true;
	}
	PG_CATCH();
	{
		UserGroup	   *group = list_nth(change->table->groups, *at);
		ErrorData  *error = work_caught(context);

		receivers_cut(kept);
		if (!blame(change, group, error))
		{
			(*at)++;
			change->waits_since = 0;
		}
		change->match = NULL;
		change->locking = false;
	}
	PG_END_TRY();
	return good;
}

/* Those from this group on. */
static void
tell_rest(const Change *change, int at, const char *why)
{
	for (; at < list_length(change->table->groups); at++)
		tell_group(change, list_nth(change->table->groups, at), why);
}

static void
judge(Change *change)
{
	bool		begun = false;
	volatile int at = 0;
	const char *trouble = NULL;

	for (;;)
	{
		trouble = begin_change(change, !begun);
		if (trouble != NULL || at >= list_length(change->table->groups))
			break;
		if (!begun)
			receivers_begin(change->record, change->record->action == CHANGE_DELETE &&
							change->relation->rd_rel->relrowsecurity, change_data_is_too_large(change->record));
		begun = true;
		if (judge_from(change, &at, list_length(change->table->groups)))
			break;
	}
	if (trouble != NULL)
		tell_rest(change, at, trouble);
	if (change->relation != NULL)
		relation_close(change->relation, NoLock);
	if (begun)
		receivers_finish();
}

/* An error that is nobody's would be the same for a process that comes after us: all are told, and the stream goes on. */
static void
judge_or_tell(Change *change)
{
	PG_TRY();
	{
		judge(change);
	}
	PG_CATCH();
	{
		ErrorData  *error = work_caught(context);

		log_error(change, NULL, error);
		tell_rest(change, 0, text_of_error(error));
	}
	PG_END_TRY();
}

void
deliver_change(const ChangeRecord *record)
{
	MemoryContext previous = MemoryContextSwitchTo(context);
	Change		change = {.record = record};

	work_begin();
	change.table = table_get(record);
	if (change.table->groups != NIL)
	{
		change_number++;
		change_values_reset(values, record);
		for (int i = 0; i < record->column_count; i++)
			change.has_key |= record->columns[i].is_key;
		judge_or_tell(&change);
		counter_add(COUNTER_CHANGE_VERDICTS, change.verdicts);
	}
	MemoryContextSwitchTo(previous);
	MemoryContextReset(context);
}
