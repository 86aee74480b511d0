/*
 * policy_conditions.c
 *	  What row level security asks of a row, as PostgreSQL's own rewriter puts it.
 *
 * A query of the command on the table is rewritten as every query is, and its conditions are taken
 * from the result. So hooks, views, the row level security of tables in sub-selects and the search
 * for recursion are those of PostgreSQL.
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "access/policy_conditions.h"
#include "shared/compat.h"

/*
 * SELECT true FROM table, or INSERT INTO table DEFAULT VALUES. Asking for the one privilege alone
 * keeps SELECT policies out of INSERT.
 */
static Query *
query_on(Relation table, CmdType command)
{
	Query	   *query = makeNode(Query);
	RangeTblEntry *entry = makeNode(RangeTblEntry);
	RangeTblRef *reference = makeNode(RangeTblRef);
	bool		read = command == CMD_SELECT;

	entry->rtekind = RTE_RELATION;
	entry->relid = RelationGetRelid(table);
	entry->relkind = table->rd_rel->relkind;
	entry->rellockmode = AccessShareLock;
	entry->inh = read;
	entry->inFromCl = read;
	entry->eref = makeAlias(RelationGetRelationName(table), NIL);
	reference->rtindex = 1;
	query->commandType = command;
	query->canSetTag = true;
	query->rtable = list_make1(entry);
	query->resultRelation = read ? 0 : 1;
	query->jointree = makeFromExpr(read ? list_make1(reference) : NIL, NULL);
	if (read)
		query->targetList = list_make1(makeTargetEntry((Expr *) makeBoolConst(true, false), 1, "row", false));
	require_permission(query, entry, read ? ACL_SELECT : ACL_INSERT);
	return query;
}

/* As every query is rewritten, for the current user. */
static Query *
rewritten_query(Relation table, CmdType command)
{
	List	   *rewritten = QueryRewrite(query_on(table, command));

	if (list_length(rewritten) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the policies of table \"%s\" can't be evaluated because it has rules", RelationGetRelationName(table))));
	return linitial_node(Query, rewritten);
}

List *
policy_conditions(Relation table, CmdType command)
{
	Query	   *query = rewritten_query(table, command);
	List	   *conditions = NIL;
	ListCell   *cell;

	if (command == CMD_SELECT)
		return linitial_node(RangeTblEntry, query->rtable)->securityQuals;
	foreach(cell, query->withCheckOptions)
		conditions = lappend(conditions, lfirst_node(WithCheckOption, cell)->qual);
	return conditions;
}

void
policy_try_planning(Relation table)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "realtime planning", ALLOCSET_DEFAULT_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);

	(void) planner(rewritten_query(table, CMD_SELECT), "realtime policy", 0, NULL);
	MemoryContextSwitchTo(previous);
	MemoryContextDelete(context);
}
