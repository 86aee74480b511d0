/*
 * claims_fold.h
 *	  Which parts of policies depend on nothing but the claims, and what they are worth. Used by
 *	  claims_policy.c only.
 */
#ifndef REALTIME_CLAIMS_FOLD_H
#define REALTIME_CLAIMS_FOLD_H

#include "nodes/params.h"
#include "nodes/pg_list.h"

/*
 * Clauses with each sub-select that is an expression only, as in (select auth.uid()), replaced by
 * that expression, with functions inlined for the current user. A copy, in the current memory
 * context.
 */
extern List *claims_unwrap(List *clauses);

/*
 * Clauses with the largest parts that read only constants and claims, by immutable functions,
 * replaced by external parameters; *parts has these parts, that of parameter 1 first. Nothing else
 * is changed: what raised before still does, when it did. Clauses that call a volatile function or
 * hold sub-selects have no such parts. A copy, in the current memory context.
 */
extern List *claims_separate(List *clauses, List **parts);

/*
 * Evaluate the parts with the role taken on and the claims set, each in a subtransaction of its
 * own; the values are made in the given memory context. NULL: one of them raised. A cancellation is
 * raised on.
 */
extern ParamListInfo claims_evaluate(List *parts, MemoryContext keep);

extern void claims_free(ParamListInfo values);

/* What clauses without sub-selects need when they are evaluated. */
typedef struct ClaimsNeeds
{
	bool		settings;		/* they call something that may read settings */
	bool		limit;			/* they may take long */
} ClaimsNeeds;

extern ClaimsNeeds claims_needs(List *clauses);

#endif							/* REALTIME_CLAIMS_FOLD_H */
