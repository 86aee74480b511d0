/*
 * role.c
 *	  Take on the role that a token names.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "access/role.h"
#include "shared/settings.h"

/* Is the name in realtime.allowed_roles? Names there are identifiers: folded to lower case unless quoted. */
static bool
role_allowed(const char *name)
{
	char	   *list = pstrdup(realtime_allowed_roles);
	List	   *names;
	ListCell   *cell;
	bool		found = false;

	if (!SplitIdentifierString(list, ',', &names))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("realtime.allowed_roles is not a list of role names"),
				 errhint("Names with blanks or capitals have to be quoted: 'anon, \"my role\"'.")));
	foreach(cell, names)
		found = found || strcmp(lfirst(cell), name) == 0;
	list_free(names);
	pfree(list);
	return found;
}

Oid
role_resolve(const char *name)
{
	HeapTuple	tuple = strlen(name) < NAMEDATALEN ? SearchSysCache1(AUTHNAME, CStringGetDatum(name)) : NULL;
	Form_pg_authid form;
	Oid			role;
	bool		powerful;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" does not exist", name)));
	form = (Form_pg_authid) GETSTRUCT(tuple);
	role = form->oid;
	powerful = form->rolsuper || form->rolreplication || role < FirstNormalObjectId;
	ReleaseSysCache(tuple);

	if (powerful)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("a token can't select role \"%s\"", name),
				 errdetail("Superusers, replication roles and predefined roles are out of reach of tokens.")));
	if (!role_allowed(name))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" is not in realtime.allowed_roles", name),
				 errhint("Add it there if tokens may select it.")));
	return role;
}

void
role_become(Oid role, RoleSaved *saved)
{
	GetUserIdAndSecContext(&saved->user, &saved->security_context);
	SetUserIdAndSecContext(role, saved->security_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
}

void
role_return(const RoleSaved *saved)
{
	SetUserIdAndSecContext(saved->user, saved->security_context);
}
