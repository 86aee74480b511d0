/*
 * policy_clauses.c
 *	  The conditions of a table's policies as PostgreSQL's planner would have them evaluated.
 *
 * A query evaluates conditions of row level security by the policy that they come from, and within
 * one policy the cheap ones before the dear. Sub-selects that don't depend on the row cost nothing
 * per row.
 *
 * Two things can't be known without the planner: which of several sub-selects on tables it takes for
 * the cheaper one, and what it does with several clauses that say what one expression equals: it may
 * compare what it is said to equal. They only matter where one clause raises and another is false.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/primnodes.h"
#include "optimizer/clauses.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"

#include "access/policy_clauses.h"
#include "access/policy_dependencies.h"

/* More than most functions cost: a sub-select on tables that is run for each row. */
#define SUBSELECT_COST	1000000.0

/* Where a clause stands. */
typedef struct Rank
{
	Node	   *clause;
	int			level;			/* the policy that must have let the row through before */
	Cost		cost;
	bool		merged;			/* the planner learns from it what equals what, and adds it behind the others */
} Rank;

bool
policy_is_expression(Query *query)
{
	return query->commandType == CMD_SELECT && query->rtable == NIL && query->cteList == NIL &&
		query->jointree->fromlist == NIL && query->jointree->quals == NULL &&
		!query->hasAggs && !query->hasWindowFuncs && !query->hasTargetSRFs &&
		query->groupClause == NIL && query->groupingSets == NIL && query->havingQual == NULL &&
		query->distinctClause == NIL && query->sortClause == NIL && query->setOperations == NULL &&
		query->limitOffset == NULL && query->limitCount == NULL && query->rowMarks == NIL &&
		list_length(query->targetList) == 1;
}

/* What the planner puts in the place of a sub-select that is run once. */
static Node *
value_of_subselect(Node *link)
{
	Param	   *param = makeNode(Param);

	param->paramkind = PARAM_EXEC;
	param->paramtype = exprType(link);
	param->paramtypmod = exprTypmod(link);
	param->paramcollid = exprCollation(link);
	param->location = -1;
	return (Node *) param;
}

/* What the sub-selects of a clause become. */
typedef struct Subselects
{
	Cost		cost;			/* of those that are run for each row */
	bool		plans;			/* one stays in the clause, be it run for each row or hashed */
} Subselects;

static Node *without_subselects(Node *node, void *arg);

/* One that only names an expression costs little more than that. */
static Cost
cost_of_run(Query *query)
{
	Subselects	found = {0, false};
	QualCost	cost;
	Expr	   *value;

	if (!policy_is_expression(query))
		return SUBSELECT_COST;
	value = expression_planner(copyObject(linitial_node(TargetEntry, query->targetList)->expr));
	cost_qual_eval_node(&cost, without_subselects((Node *) value, &found), NULL);
	return cpu_tuple_cost + cost.per_tuple + found.cost;
}

/* The clause as it is when its sub-selects have become plans, without them. */
static Node *
without_subselects(Node *node, void *arg)
{
	Subselects *found = arg;

	if (node == NULL)
		return NULL;
	if (IsA(node, SubLink))
	{
		SubLink    *link = (SubLink *) node;
		bool		runs = contain_vars_of_level(link->subselect, 1) || link->subLinkType == ALL_SUBLINK;

		if (runs)
			found->cost += cost_of_run((Query *) link->subselect);
		found->plans = found->plans || runs || link->testexpr != NULL;
		if (link->testexpr != NULL)
			return without_subselects(link->testexpr, arg);
		return value_of_subselect(node);
	}
	return expression_tree_mutator(node, without_subselects, arg);
}

static bool
is_merged(Node *clause, int level, bool leaky)
{
	OpExpr	   *operator = (OpExpr *) clause;

	return IsA(clause, OpExpr) && list_length(operator->args) == 2 && (level == 0 || !leaky) &&
		op_mergejoinable(operator->opno, exprType(linitial(operator->args))) && !contain_volatile_functions(clause);
}

/* Added up in the planner's order: costs that are equal but for rounding would be in another order else. */
static void
add_cost(Node *clause, Cost *total)
{
	QualCost	cost;
	ListCell   *cell;

	if (is_orclause(clause))
	{
		Cost		sum = 0;

		foreach(cell, ((BoolExpr *) clause)->args)
			add_cost(lfirst(cell), &sum);
		*total += sum;
	}
	else if (is_andclause(clause))
	{
		foreach(cell, ((BoolExpr *) clause)->args)
			add_cost(lfirst(cell), total);
	}
	else
	{
		cost_qual_eval_node(&cost, clause, NULL);
		*total += cost.per_tuple;
	}
}

static Rank
rank_of(Node *clause, int level)
{
	Rank		rank = {.clause = clause,.level = level};
	Subselects	found = {0, false};
	Node	   *rest = without_subselects(clause, &found);
	bool		leaky = found.plans || contain_leaked_vars(rest);

	add_cost(rest, &rank.cost);
	rank.cost += found.cost;
	/* What leaks nothing and is cheap may go before the policies of other levels. */
	if (rank.cost < 10 * cpu_operator_cost && !leaky)
		rank.level = 0;
	rank.merged = !IsA(clause, SubLink) && is_merged(rest, level, leaky);
	return rank;
}

static bool
comes_before(const Rank *a, const Rank *b)
{
	if (a->level != b->level)
		return a->level < b->level;
	if (a->cost != b->cost)
		return a->cost < b->cost;
	return b->merged && !a->merged;
}

/* By insertion: equals stay in the order in which they were written. */
static List *
in_order(Rank *ranks, int count)
{
	List	   *clauses = NIL;

	for (int i = 1; i < count; i++)
	{
		Rank		moved = ranks[i];
		int			place = i;

		for (; place > 0 && comes_before(&moved, &ranks[place - 1]); place--)
			ranks[place] = ranks[place - 1];
		ranks[place] = moved;
	}
	for (int i = 0; i < count; i++)
		clauses = lappend(clauses, ranks[i].clause);
	return clauses;
}

/* One condition, simplified and split. */
static List *
split(Expr *condition)
{
	List	   *relations = NIL;
	List	   *items = NIL;
	Expr	   *simple = expression_planner_with_deps(condition, &relations, &items);

	policy_depends_on(relations, items);
	return make_ands_implicit(canonicalize_qual(simple, false));
}

List *
policy_clauses(List *conditions, CmdType command)
{
	List	   *clauses = NIL;
	List	   *levels = NIL;
	Rank	   *ranks;
	int			count;

	for (int level = 0; level < list_length(conditions); level++)
	{
		List	   *parts = split(list_nth(conditions, level));

		clauses = list_concat(clauses, parts);
		while (list_length(levels) < list_length(clauses))
			levels = lappend_int(levels, level);
	}
	if (command != CMD_SELECT)
		return clauses;
	count = list_length(clauses);
	ranks = palloc(Max(count, 1) * sizeof(Rank));
	for (int i = 0; i < count; i++)
		ranks[i] = rank_of(list_nth(clauses, i), list_nth_int(levels, i));
	return in_order(ranks, count);
}
