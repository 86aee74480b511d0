/*
 * claims_fold.c
 *	  Which parts of policies depend on nothing but the claims, and what they are worth.
 *
 * The clauses are those that PostgreSQL would evaluate for a query, with functions inlined and
 * constants folded as it does. Folding goes on where PostgreSQL has to stop because a setting may
 * change: at current_setting('request.jwt...'). Only whole parts are replaced by their values, and
 * nothing around them is simplified: false AND x is still evaluated from left to right, and f(x) =
 * NULL still calls f.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "nodes/primnodes.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "access/claims_fold.h"
#include "access/policy_clauses.h"
#include "access/policy_dependencies.h"

/*
 * Settings below this one are the claims, and nothing changes them while a row is judged, if no
 * volatile function is called.
 */
#define CLAIMS_SETTINGS		"request.jwt."

/* PostgreSQL plans a sub-select by itself: its expression is simplified apart from what stands around it. */
static Node *
unwrap(Node *node, void *arg)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, SubLink) && ((SubLink *) node)->subLinkType == EXPR_SUBLINK &&
		policy_is_expression((Query *) ((SubLink *) node)->subselect))
	{
		TargetEntry *entry = linitial_node(TargetEntry, ((Query *) ((SubLink *) node)->subselect)->targetList);
		List	   *relations = NIL;
		List	   *items = NIL;
		Node	   *value = (Node *) expression_planner_with_deps(copyObject(entry->expr), &relations, &items);

		if (!contain_volatile_functions(value))
		{
			policy_depends_on(relations, items);
			IncrementVarSublevelsUp(value, -1, 1);
			return unwrap(value, arg);
		}
	}
	return expression_tree_mutator(node, unwrap, arg);
}

List *
claims_unwrap(List *clauses)
{
	return (List *) unwrap((Node *) clauses, NULL);
}

static bool
is_mutable(Oid function, void *arg)
{
	return func_volatile(function) != PROVOLATILE_IMMUTABLE;
}

/* current_setting('request.jwt...'), with or without its second argument. */
static bool
reads_claims(FuncExpr *call)
{
	Const	   *name;
	char	   *setting;
	bool		ours;
	ListCell   *cell;

	if (call->funcid != F_CURRENT_SETTING_TEXT && call->funcid != F_CURRENT_SETTING_TEXT_BOOL)
		return false;
	foreach(cell, call->args)
		if (!IsA(lfirst(cell), Const) || lfirst_node(Const, cell)->constisnull)
			return false;
	name = linitial_node(Const, call->args);
	setting = TextDatumGetCString(name->constvalue);
	ours = pg_strncasecmp(setting, CLAIMS_SETTINGS, strlen(CLAIMS_SETTINGS)) == 0;
	pfree(setting);
	return ours;
}

/*
 * Does the value depend on anything else than the claims? *arg: how many constructs around give
 * CaseTestExpr a value.
 */
static bool
depends_on_more(Node *node, void *arg)
{
	int			around = *(int *) arg;

	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_FuncExpr:
			if (((FuncExpr *) node)->funcretset)
				return true;
			if (reads_claims((FuncExpr *) node))
				return false;
			break;
		case T_CaseTestExpr:
			if (around == 0)
				return true;
			break;
		case T_CaseExpr:
		case T_ArrayCoerceExpr:
			around++;
			break;
		case T_List:
		case T_Const:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
		case T_BoolExpr:
		case T_CoalesceExpr:
		case T_MinMaxExpr:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_NullTest:
		case T_BooleanTest:
		case T_ArrayExpr:
		case T_SubscriptingRef:
		case T_CaseWhen:
			break;
		default:
			return true;
	}
	return check_functions_in_node(node, is_mutable, NULL) ||
		expression_tree_walker(node, depends_on_more, &around);
}

/* Is this something that may stand as a parameter? */
static bool
is_part(Node *node)
{
	int			around = 0;

	if (IsA(node, Const) || IsA(node, List) || IsA(node, CaseWhen) || IsA(node, CaseTestExpr))
		return false;
	return !depends_on_more(node, &around) && get_typtype(exprType(node)) != TYPTYPE_PSEUDO;
}

static Node *
separate(Node *node, void *arg)
{
	List	  **parts = arg;
	Param	   *param;

	if (node == NULL)
		return NULL;
	if (!is_part(node))
		return expression_tree_mutator(node, separate, arg);
	*parts = lappend(*parts, node);
	param = makeNode(Param);
	param->paramkind = PARAM_EXTERN;
	param->paramid = list_length(*parts);
	param->paramtype = exprType(node);
	param->paramtypmod = exprTypmod(node);
	param->paramcollid = exprCollation(node);
	param->location = -1;
	return (Node *) param;
}

List *
claims_separate(List *clauses, List **parts)
{
	*parts = NIL;
	if (contain_volatile_functions((Node *) clauses) || checkExprHasSubLink((Node *) clauses))
		return clauses;
	return (List *) separate((Node *) clauses, parts);
}

static void
evaluate(Node *part, ParamExternData *result, ExprContext *econtext)
{
	ExprState  *state = ExecInitExpr((Expr *) part, NULL);

	result->value = ExecEvalExprSwitchContext(state, econtext, &result->isnull);
	if (!result->isnull && get_typlen(result->ptype) == -1)
		result->value = PointerGetDatum(PG_DETOAST_DATUM(result->value));
}

/*
 * What raises must raise whenever a row is judged, but not now. A cancellation is none of the part's errors, nor is a lock that was not to
 * be had.
 */
static bool
evaluate_safely(Node *part, ParamExternData *result, ExprContext *econtext)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		evaluate(part, result, econtext);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED || error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		{
			MemoryContextSwitchTo(context);
			CurrentResourceOwner = owner;
			ReThrowError(error);
		}
		FreeErrorData(error);
		done = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return done;
}

static ParamListInfo
make_values(List *parts)
{
	ParamListInfo values = makeParamList(list_length(parts));

	for (int i = 0; i < values->numParams; i++)
	{
		values->params[i].value = (Datum) 0;
		values->params[i].isnull = true;
		values->params[i].pflags = 0;
		values->params[i].ptype = exprType(list_nth(parts, i));
	}
	return values;
}

/*
 * Our own flag, beside the executor's: the value is a pointer to a copy. It is freed when no transaction is open and no type
 * can be looked up.
 */
#define PARAM_IS_COPY		0x8000

static ParamListInfo
copy_values(ParamListInfo values)
{
	ParamListInfo copy = makeParamList(values->numParams);

	for (int i = 0; i < values->numParams; i++)
	{
		int16		length;
		bool		by_value;

		copy->params[i] = values->params[i];
		get_typlenbyval(copy->params[i].ptype, &length, &by_value);
		if (!copy->params[i].isnull)
			copy->params[i].value = datumCopy(copy->params[i].value, by_value, length);
		if (!copy->params[i].isnull && !by_value)
			copy->params[i].pflags |= PARAM_IS_COPY;
	}
	return copy;
}

ParamListInfo
claims_evaluate(List *parts, MemoryContext keep)
{
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "realtime claims", ALLOCSET_SMALL_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(work);
	ExprContext *econtext = CreateStandaloneExprContext();
	ParamListInfo values = make_values(parts);
	bool		done = true;

	for (int i = 0; i < values->numParams && done; i++)
		done = evaluate_safely(list_nth(parts, i), &values->params[i], econtext);
	MemoryContextSwitchTo(keep);
	values = done ? copy_values(values) : NULL;
	MemoryContextSwitchTo(previous);
	FreeExprContext(econtext, false);
	MemoryContextDelete(work);
	return values;
}

void
claims_free(ParamListInfo values)
{
	for (int i = 0; i < values->numParams; i++)
		if (values->params[i].pflags & PARAM_IS_COPY)
			pfree(DatumGetPointer(values->params[i].value));
	pfree(values);
}

/* A type all of whose functions are PostgreSQL's own. */
static bool
is_own_type(Oid type)
{
	char		kind;

	if (type == RECORDOID || type == RECORDARRAYOID)
		return false;
	if (type < FirstUnpinnedObjectId)
		return true;
	kind = get_typtype(type);
	return kind == TYPTYPE_ENUM;
}

/*
 * Of PostgreSQL's functions, those with a short result end soon, unless they run a program given
 * as text; of others a few are known.
 */
static bool
may_take_long(Oid function)
{
	switch (function)
	{
		case F_JSONB_OBJECT_FIELD:
		case F_JSONB_OBJECT_FIELD_TEXT:
		case F_JSON_OBJECT_FIELD:
		case F_JSON_OBJECT_FIELD_TEXT:
		case F_LOWER_TEXT:
		case F_UPPER_TEXT:
		case F_SPLIT_PART:
		case F_TEXTIN:
		case F_TEXTOUT:
			return false;
	}
	return get_typlen(get_func_rettype(function)) < 0;
}

/* Regular expressions and JSON paths can be made to run for hours. */
static bool
runs_program(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool		null;
	Datum		source;
	char	   *name;
	bool		runs;

	if (!HeapTupleIsValid(tuple))
		return true;
	source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &null);
	name = null ? pstrdup("regex") : TextDatumGetCString(source);
	runs = strstr(name, "regex") != NULL || strstr(name, "jsonb_path") != NULL;
	pfree(name);
	ReleaseSysCache(tuple);
	return runs;
}

static bool
note_function(Oid function, void *arg)
{
	ClaimsNeeds *needs = arg;
	bool		ours = function < FirstUnpinnedObjectId && (func_volatile(function) == PROVOLATILE_IMMUTABLE || function == F_NOW);

	if (!ours)
		needs->settings = needs->limit = true;
	else if (may_take_long(function) || runs_program(function))
		needs->limit = true;
	return needs->settings;
}

static bool
note_needs(Node *node, void *arg)
{
	ClaimsNeeds *needs = arg;

	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_List:
		case T_CaseWhen:
			return expression_tree_walker(node, note_needs, arg);
		case T_Var:
		case T_Const:
		case T_Param:
		case T_FuncExpr:
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
		case T_ScalarArrayOpExpr:
		case T_BoolExpr:
		case T_CoalesceExpr:
		case T_MinMaxExpr:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_NullTest:
		case T_BooleanTest:
		case T_ArrayExpr:
		case T_ArrayCoerceExpr:
		case T_SubscriptingRef:
		case T_CaseExpr:
		case T_CaseTestExpr:
		case T_SQLValueFunction:
			if (is_own_type(exprType(node)))
				return check_functions_in_node(node, note_function, arg) ||
					expression_tree_walker(node, note_needs, arg);
			/* FALLTHROUGH */
		default:
			needs->settings = needs->limit = true;
			return true;
	}
}

ClaimsNeeds
claims_needs(List *clauses)
{
	ClaimsNeeds needs = {false, false};

	(void) note_needs((Node *) clauses, &needs);
	return needs;
}
