/*
 * privileges.c
 *	  Which columns of a table a role may touch.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "utils/acl.h"
#include "utils/rel.h"

#include "access/privileges.h"
#include "shared/compat.h"

Bitmapset *
permitted_columns(Relation table, Oid role, AclMode mode)
{
	Oid			id = RelationGetRelid(table);
	TupleDesc	desc = RelationGetDescr(table);
	Bitmapset  *columns = NULL;
	bool		all;

	if (schema_aclcheck(RelationGetNamespace(table), role, ACL_USAGE) != ACLCHECK_OK)
		return NULL;
	all = pg_class_aclcheck(id, role, mode) == ACLCHECK_OK;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped &&
			(all || pg_attribute_aclcheck(id, attribute->attnum, role, mode) == ACLCHECK_OK))
			columns = bms_add_member(columns, attribute->attnum - FirstLowInvalidHeapAttributeNumber);
	}
	return columns;
}
