/*
 * role.h
 *	  Take on the role that a token names, in such a way that nothing that runs as it can get out of it.
 *
 * Authorizers (and later the changes worker) only; inside a transaction.
 */
#ifndef REALTIME_ROLE_H
#define REALTIME_ROLE_H

typedef struct RoleSaved
{
	Oid			user;
	int			security_context;
} RoleSaved;

/*
 * The role of that name, if a token may select it: it exists, is in realtime.allowed_roles, and is no superuser, no
 * replication role and none of PostgreSQL's own. Raises an error that says what is wrong otherwise.
 */
extern Oid	role_resolve(const char *name);

/*
 * Act as the role until role_return, or until the transaction aborts. SET ROLE, SET SESSION AUTHORIZATION, temporary objects and the like
 * are forbidden meanwhile.
 */
extern void role_become(Oid role, RoleSaved *saved);
extern void role_return(const RoleSaved *saved);

#endif							/* REALTIME_ROLE_H */
