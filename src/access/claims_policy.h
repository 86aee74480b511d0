/*
 * claims_policy.h
 *	  Row level security of a table on a committed row version, for a role with the claims of a token.
 *
 * What policy.h prepares once per role is prepared here once per (role, claims): what the policies
 * read of the claims is made a constant, so that judging a row is a comparison and no setting is
 * touched. What can't be made one is evaluated each time, as the role and with the settings in
 * place. Changes worker only; inside a transaction with an active snapshot.
 */
#ifndef REALTIME_CLAIMS_POLICY_H
#define REALTIME_CLAIMS_POLICY_H

#include "executor/tuptable.h"
#include "nodes/bitmapset.h"
#include "utils/relcache.h"

/*
 * One distinct (role, claims). The number is the caller's, and is not used again for others
 * without claims_policy_forget_user.
 */
typedef struct ClaimsUser
{
	uint32		number;
	Oid			role;			/* from role_resolve, in this transaction or one since which role_generation() is the same */
	const char *role_name;
	const char *claims;			/* JSON text, in the encoding of the database */
} ClaimsUser;

/*
 * What judging a row of a table for a user takes. Owned by claims_policy.c, valid until the end of
 * the transaction; if it was got in a subtransaction, until the end of that, since the locks of a
 * plan go with it.
 */
typedef struct ClaimsPolicy ClaimsPolicy;

/* Once per process. */
extern void claims_policy_init(void);

/*
 * The policy of this table, which is open and locked by the caller, for SELECT by this user; made
 * if there is none or what it depends on has changed. Raises what preparing raises (infinite
 * recursion, no EXECUTE on a function …), and what planning any query on the table would raise with
 * these claims (a sub that is no UUID where the planner asks for auth.uid()): then nothing is kept,
 * and no row is visible. At most policy_timeout is for the caller to keep. The current memory
 * context should be a short-lived one.
 */
extern ClaimsPolicy *claims_policy_get(Relation table, const ClaimsUser *user);

/*
 * Every row is visible: no row level security for this user. Not said of a policy that happens to
 * be true, or without any privilege.
 */
extern bool claims_policy_is_open(const ClaimsPolicy *policy);

/* It calls nothing but functions of PostgreSQL that end soon, so it needs no time limit. */
extern bool claims_policy_is_plain(const ClaimsPolicy *policy);

/*
 * Attribute numbers of the columns that it reads, offset by FirstLowInvalidHeapAttributeNumber, as
 * pull_varattnos has them. A reference to the whole row is there as such (0), and as all columns.
 * Columns that no clause of this user needs any more may be there too.
 */
extern const Bitmapset *claims_policy_columns(const ClaimsPolicy *policy);

/*
 * Is this row, in the table's descriptor, visible? Takes on the role and sets the claims, if need
 * be, and gives both back. Without any privilege on the table none is. Raises whatever the policies
 * raise; the caller then rolls back to before, and calls claims_policy_forget.
 */
extern bool claims_policy_judge(ClaimsPolicy *policy, TupleTableSlot *slot);

/* Drop what is kept of this table and user: after a judgement that raised. */
extern void claims_policy_forget(Oid table, uint32 user);

/* The user is gone: drop all that is kept of it. */
extern void claims_policy_forget_user(uint32 user);

/*
 * Attribute numbers of the columns that a role may SELECT (offset as above); NULL if the schema or
 * all of them are out of reach. In the current memory context. Any process, inside a transaction.
 */
extern Bitmapset *readable_columns(Relation table, Oid role);

/*
 * Changes whenever a role, a membership, a schema or realtime.allowed_roles may have changed: what
 * was resolved or found readable before has to be looked at again.
 */
extern uint64 role_generation(void);

#endif							/* REALTIME_CLAIMS_POLICY_H */
