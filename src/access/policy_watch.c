/*
 * policy_watch.c
 *	  Have the policies of a table, or what they depend on, changed?
 *
 * The catalogs' text of all policies and privileges is made one number, worked out again when something that it was made of has changed. The
 * authorizers share the last number: whoever finds another one tells. So a policy that is changed and changed back
 * is noticed too if anything was judged by it in between.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rowsecurity.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "access/policy_watch.h"
#include "shared/questions.h"
#include "shared/settings.h"

/* Tables and views that are looked at; policies that need more are not followed any further. */
#define MAX_RELATIONS	200

static uint64
combine_bytes(uint64 hash, const void *bytes, Size length)
{
	return hash_combine64(hash, hash_bytes_extended(bytes, length, 0));
}

static uint64
combine_node(uint64 hash, Node *node)
{
	char	   *text = nodeToString(node);

	hash = combine_bytes(hash, text, strlen(text));
	pfree(text);
	return hash;
}

/* An attribute of a row of a catalog, if it is not null. */
static uint64
combine_varlena(uint64 hash, int cache, HeapTuple tuple, AttrNumber attribute)
{
	bool		null;
	Datum		value = SysCacheGetAttr(cache, tuple, attribute, &null);

	return null ? hash : combine_bytes(hash, DatumGetPointer(value), VARSIZE_ANY(DatumGetPointer(value)));
}

/* Owner, switches of row level security, and privileges on the table and on its columns. */
static uint64
combine_privileges(uint64 hash, Relation relation)
{
	Oid			id = RelationGetRelid(relation);
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(id));

	hash = hash_combine64(hash, relation->rd_rel->relowner);
	hash = hash_combine64(hash, relation->rd_rel->relrowsecurity * 2 + relation->rd_rel->relforcerowsecurity);
	if (HeapTupleIsValid(tuple))
	{
		hash = combine_varlena(hash, RELOID, tuple, Anum_pg_class_relacl);
		hash = combine_varlena(hash, RELOID, tuple, Anum_pg_class_reloptions);
		ReleaseSysCache(tuple);
	}
	for (int i = 1; i <= RelationGetNumberOfAttributes(relation); i++)
	{
		tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(id), Int16GetDatum(i));
		if (!HeapTupleIsValid(tuple))
			continue;
		hash = combine_varlena(hash_combine64(hash, i), ATTNUM, tuple, Anum_pg_attribute_attacl);
		ReleaseSysCache(tuple);
	}
	return hash;
}

/* Add the relations of the sub-selects in a tree to the list. */
static bool
collect_relations(Node *node, void *arg)
{
	List	  **relations = arg;

	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *entry = (RangeTblEntry *) node;

		if (entry->rtekind == RTE_RELATION && list_length(*relations) < MAX_RELATIONS)
			*relations = list_append_unique_oid(*relations, entry->relid);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, collect_relations, arg, QTW_EXAMINE_RTES_BEFORE);
	return expression_tree_walker(node, collect_relations, arg);
}

static uint64
combine_policy(uint64 hash, RowSecurityPolicy *policy, List **relations)
{
	hash = hash_combine64(hash, policy->polcmd * 2 + policy->permissive);
	hash = combine_node(hash, (Node *) policy->qual);
	hash = combine_node(hash, (Node *) policy->with_check_qual);
	(void) collect_relations((Node *) policy->qual, relations);
	(void) collect_relations((Node *) policy->with_check_qual, relations);
	return combine_bytes(hash, policy->roles, VARSIZE_ANY(policy->roles));
}

/* False: somebody is changing it just now, and may go on for long. */
static bool
combine_relation(uint64 *result, Oid id, List **relations)
{
	uint64		hash = *result;
	Relation	relation;
	ListCell   *cell;

	if (!ConditionalLockRelationOid(id, AccessShareLock))
		return false;
	relation = try_relation_open(id, NoLock);
	if (relation == NULL)
		return true;
	hash = combine_privileges(hash_combine64(hash, id), relation);
	if (relation->rd_rsdesc != NULL)
		foreach(cell, relation->rd_rsdesc->policies)
			hash = combine_policy(hash, lfirst(cell), relations);
	if (relation->rd_rel->relkind == RELKIND_VIEW && relation->rd_rules != NULL)
		for (int i = 0; i < relation->rd_rules->numLocks; i++)
		{
			hash = combine_node(hash, (Node *) relation->rd_rules->rules[i]->actions);
			(void) collect_relations((Node *) relation->rd_rules->rules[i]->actions, relations);
		}
	relation_close(relation, NoLock);
	*result = hash;
	return true;
}

/* What is kept of the last look. */
static Oid	watched[MAX_RELATIONS];
static int	watched_count;
static Oid	last_table;
static uint64 last_relations;
static uint64 last_world;
static char last_roles[1024];

/* Or else what can't be made a number is left to another process. */
static bool watches_all;

/* The last look was in vain: a relation was locked. And there was something to tell since, which is told when it can be looked at. */
static bool blind;
static bool missed;

/* How often this process has heard of a change to what is watched; and to functions, roles, memberships and schemas. */
static uint64 relations;
static uint64 world;

static void
relation_changed(Datum argument, Oid relation)
{
	bool		ours = relation == InvalidOid;

	for (int i = 0; i < watched_count && !ours; i++)
		ours = watched[i] == relation;
	if (ours)
		relations++;
}

static void
world_changed(Datum argument, int cache, uint32 hash)
{
	world++;
}

void
policy_watch_init(bool all)
{
	watches_all = all;
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	if (!all)
		return;
	CacheRegisterSyscacheCallback(PROCOID, world_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, world_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMMEMROLE, world_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, world_changed, (Datum) 0);
}

/* False: a relation can't be looked at, since somebody is changing it. */
static bool
fingerprint_of(Oid table, uint64 *fingerprint)
{
	List	   *found = list_make1_oid(table);

	*fingerprint = 0;
	for (int i = 0; i < list_length(found); i++)
		if (!combine_relation(fingerprint, list_nth_oid(found, i), &found))
			return false;
	watched_count = list_length(found);
	for (int i = 0; i < watched_count; i++)
		watched[i] = list_nth_oid(found, i);
	return true;
}

static bool
moved(void)
{
	return relations != last_relations || world != last_world;
}

/* While nothing can be looked at, whoever is judged again would wait for the same lock, and each answer would have all judged again. */
bool
policy_watch_moved(void)
{
	if (!moved())
		return false;
	missed |= blind;
	return !blind;
}

/* While a relation can't be looked at all is as it was: its change has not been committed. */
bool
policy_watch(Oid table)
{
	bool		same_roles = !watches_all || strncmp(last_roles, realtime_allowed_roles, sizeof(last_roles) - 1) == 0;
	uint64		relations_now = relations;
	uint64		world_now = world;
	bool		changed;
	uint64		fingerprint;

	if (table == last_table && same_roles && !moved())
		return false;
	blind = !fingerprint_of(table, &fingerprint);
	if (blind)
		return false;
	changed = question_policies_are(fingerprint) || world_now != last_world || !same_roles || missed;
	missed = false;
	last_table = table;
	last_relations = relations_now;
	last_world = world_now;
	strlcpy(last_roles, realtime_allowed_roles, sizeof(last_roles));
	return changed;
}
