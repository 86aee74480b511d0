/*
 * policy_plan.c
 *	  Conditions with sub-selects as a plan.
 *
 * The query is built as a tree and never as text, so no name in it is looked up again:
 *
 *	  SELECT cond1 AND cond2 ... FROM (SELECT $1 AS col1, $2 AS col2 ...) AS thetable
 *
 * The sub-select in FROM stands where the table stood, as range table entry 1; the planner pulls it up, so that
 * conditions refer to the parameters themselves. One more parameter stands for tableoid, which no sub-select has.
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
	ParamListInfo params;
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

/* Where the conditions' tableoid goes: how deep in sub-selects, and the parameter's number. */
typedef struct TableOidContext
{
	int			depth;
	int			param;
} TableOidContext;

static Node *
replace_tableoid(Node *node, void *arg)
{
	TableOidContext *context = arg;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (var->varno == 1 && var->varlevelsup == context->depth && var->varattno == TableOidAttributeNumber)
			return (Node *) make_param(context->param, OIDOID, -1, InvalidOid);
	}
	if (IsA(node, Query))
	{
		Query	   *query;

		context->depth++;
		query = query_tree_mutator((Query *) node, replace_tableoid, arg, 0);
		context->depth--;
		return (Node *) query;
	}
	return expression_tree_mutator(node, replace_tableoid, arg);
}

static Query *
verdict_query(Relation table, List *conditions)
{
	TableOidContext context = {0, RelationGetDescr(table)->natts + 1};
	List	   *replaced = (List *) replace_tableoid((Node *) conditions, &context);
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
	query->targetList = list_make1(makeTargetEntry(make_ands_explicit(replaced), 1, "allowed", false));
	return query;
}

PolicyPlan *
policy_plan_make(Relation table, List *conditions)
{
	PolicyPlan *plan = palloc0(sizeof(PolicyPlan));
	TupleDesc	desc = RelationGetDescr(table);

	plan->statement = planner(verdict_query(table, conditions), "realtime policy", 0, NULL);
	plan->params = makeParamList(desc->natts + 1);
	for (int i = 0; i < desc->natts; i++)
	{
		plan->params->params[i].ptype = TupleDescAttr(desc, i)->atttypid;
		plan->params->params[i].pflags = 0;
	}
	plan->params->params[desc->natts].ptype = OIDOID;
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

bool
policy_plan_run(PolicyPlan *plan, TupleTableSlot *slot)
{
	VerdictReceiver receiver = {{receive_verdict, receiver_startup, receiver_done, receiver_done, DestNone}, false};
	int			columns = plan->params->numParams - 1;
	QueryDesc  *query;

	slot_getallattrs(slot);
	for (int i = 0; i < columns; i++)
	{
		plan->params->params[i].value = slot->tts_values[i];
		plan->params->params[i].isnull = slot->tts_isnull[i];
	}
	plan->params->params[columns].value = ObjectIdGetDatum(slot->tts_tableOid);
	plan->params->params[columns].isnull = false;

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
