/*
 * policy_plan.c
 *	  Conditions with sub-selects as a plan.
 *
 * The query is built as a tree and never as text, so no name in it is looked up again:
 *
 *	  SELECT cond1 IS TRUE AND cond2 IS TRUE ... FROM (SELECT $1 AS col1, $2 AS col2 ...) AS thetable
 *
 * The sub-select in FROM stands where the table stood, as range table entry 1; the planner pulls it
 * up, so that conditions refer to the parameters themselves. Two more parameters stand for what no
 * sub-select has: tableoid, and the whole row as a value of the table's row type, dropped columns
 * and all.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/execdesc.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/params.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "optimizer/optimizer.h"
#include "storage/lmgr.h"
#include "tcop/dest.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "access/policy_plan.h"
#include "shared/compat.h"

struct PolicyPlan
{
	PlannedStmt *statement;
	ParamListInfo params;		/* the columns, tableoid, the row, a null that says no */
	int			columns;
	bool		row_used;
};

/* Where the executor puts the one boolean. */
typedef struct VerdictReceiver
{
	DestReceiver pub;
	bool		allowed;
} VerdictReceiver;

static Expr *
make_param(int number, Oid type, int32 typmod, Oid collation)
{
	Param	   *param = makeNode(Param);

	param->paramkind = PARAM_EXTERN;
	param->paramid = number;
	param->paramtype = type;
	param->paramtypmod = typmod;
	param->paramcollid = collation;
	param->location = -1;
	return (Expr *) param;
}

/* SELECT $1 AS col1, ... with a parameter for each column of the table. */
static Query *
row_query(Relation table, List **names)
{
	TupleDesc	desc = RelationGetDescr(table);
	Query	   *query = makeNode(Query);

	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->jointree = makeFromExpr(NIL, NULL);
	*names = NIL;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		char	   *name = attribute->attisdropped ? "" : pstrdup(NameStr(attribute->attname));
		Expr	   *value = attribute->attisdropped ? (Expr *) makeNullConst(INT4OID, -1, InvalidOid) :
			make_param(i + 1, attribute->atttypid, attribute->atttypmod, attribute->attcollation);

		query->targetList = lappend(query->targetList, makeTargetEntry(value, i + 1, name, false));
		*names = lappend(*names, makeString(name));
	}
	return query;
}

/* What becomes of references that the sub-select in FROM can't take. */
typedef struct ReplaceContext
{
	int			depth;			/* in sub-selects */
	int			tableoid;		/* numbers of parameters */
	int			row;
	bool		row_used;
} ReplaceContext;

static Node *
replace_references(Node *node, void *arg)
{
	ReplaceContext *context = arg;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;
		bool		ours = var->varno == 1 && var->varlevelsup == context->depth;

		if (ours && var->varattno == TableOidAttributeNumber)
			return (Node *) make_param(context->tableoid, OIDOID, -1, InvalidOid);
		if (ours && var->varattno == InvalidAttrNumber)
		{
			context->row_used = true;
			return (Node *) make_param(context->row, var->vartype, var->vartypmod, InvalidOid);
		}
	}
	if (IsA(node, Query))
	{
		Query	   *query;

		context->depth++;
		query = query_tree_mutator((Query *) node, replace_references, arg, 0);
		context->depth--;
		return (Node *) query;
	}
	return expression_tree_mutator(node, replace_references, arg);
}

/*
 * A null ends the evaluation, as in WHERE: AND by itself would go on. A constant, which is false or
 * null, is made a parameter: it would take the place of the whole, and of the errors of what comes
 * before it.
 */
static Node *
all_true(List *conditions, int no)
{
	List	   *tests = NIL;
	ListCell   *cell;

	foreach(cell, conditions)
	{
		BooleanTest *test = makeNode(BooleanTest);

		test->arg = IsA(lfirst(cell), Const) ? make_param(no, BOOLOID, -1, InvalidOid) : lfirst(cell);
		test->booltesttype = IS_TRUE;
		test->location = -1;
		tests = lappend(tests, test);
	}
	return (Node *) make_ands_explicit(tests);
}

static Query *
verdict_query(Relation table, List *conditions, bool *row_used)
{
	int			columns = RelationGetDescr(table)->natts;
	ReplaceContext context = {.tableoid = columns + 1,.row = columns + 2};
	List	   *replaced = (List *) replace_references((Node *) conditions, &context);
	Query	   *query = makeNode(Query);
	RangeTblEntry *row = makeNode(RangeTblEntry);
	RangeTblRef *reference = makeNode(RangeTblRef);
	List	   *names;

	row->rtekind = RTE_SUBQUERY;
	row->subquery = row_query(table, &names);
	row->eref = makeAlias(RelationGetRelationName(table), names);
	row->inFromCl = true;
	reference->rtindex = 1;
	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->hasSubLinks = true;
	query->rtable = list_make1(row);
	query->jointree = makeFromExpr(list_make1(reference), NULL);
	*row_used = context.row_used;
	query->targetList = list_make1(makeTargetEntry((Expr *) all_true(replaced, columns + 3), 1, "allowed", false));
	return query;
}

PolicyPlan *
policy_plan_make(Relation table, List *conditions)
{
	PolicyPlan *plan = palloc0(sizeof(PolicyPlan));
	TupleDesc	desc = RelationGetDescr(table);

	plan->statement = planner(verdict_query(table, conditions, &plan->row_used), "realtime policy", 0, NULL);
	plan->columns = desc->natts;
	plan->params = makeParamList(desc->natts + 3);
	for (int i = 0; i < desc->natts + 3; i++)
	{
		plan->params->params[i].ptype = i < desc->natts ? TupleDescAttr(desc, i)->atttypid : OIDOID;
		plan->params->params[i].value = (Datum) 0;
		plan->params->params[i].isnull = true;
		plan->params->params[i].pflags = 0;
	}
	plan->params->params[desc->natts + 1].ptype = RelationGetForm(table)->reltype;
	plan->params->params[desc->natts + 2].ptype = BOOLOID;
	return plan;
}

List *
policy_plan_tables(PolicyPlan *plan)
{
	return plan->statement->relationOids;
}

List *
policy_plan_items(PolicyPlan *plan)
{
	return plan->statement->invalItems;
}

void
policy_plan_lock(PolicyPlan *plan)
{
	ListCell   *cell;

	foreach(cell, plan->statement->rtable)
	{
		RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

		if (entry->rtekind == RTE_RELATION)
			LockRelationOid(entry->relid, entry->rellockmode);
	}
}

static bool
receive_verdict(TupleTableSlot *slot, DestReceiver *self)
{
	bool		null;
	Datum		value = slot_getattr(slot, 1, &null);

	((VerdictReceiver *) self)->allowed = !null && DatumGetBool(value);
	return true;
}

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
receiver_done(DestReceiver *self)
{
}

static void
set_params(PolicyPlan *plan, TupleTableSlot *slot)
{
	ParamExternData *params = plan->params->params;

	slot_getallattrs(slot);
	for (int i = 0; i < plan->columns; i++)
	{
		params[i].value = slot->tts_values[i];
		params[i].isnull = slot->tts_isnull[i];
	}
	params[plan->columns].value = ObjectIdGetDatum(slot->tts_tableOid);
	params[plan->columns].isnull = false;
	if (!plan->row_used)
		return;
	params[plan->columns + 1].value = ExecFetchSlotHeapTupleDatum(slot);
	params[plan->columns + 1].isnull = false;
}

bool
policy_plan_run(PolicyPlan *plan, TupleTableSlot *slot)
{
	VerdictReceiver receiver = {{receive_verdict, receiver_startup, receiver_done, receiver_done, DestNone}, false};
	QueryDesc  *query;

	set_params(plan, slot);
	/* A plan that calls volatile functions must see what they have done. */
	CommandCounterIncrement();
	UpdateActiveSnapshotCommandId();
	query = CreateQueryDesc(plan->statement, "realtime policy", GetActiveSnapshot(), InvalidSnapshot,
							&receiver.pub, plan->params, NULL, 0);
	ExecutorStart(query, 0);
	executor_run(query, 1);
	ExecutorFinish(query);
	ExecutorEnd(query);
	FreeQueryDesc(query);
	return receiver.allowed;
}
