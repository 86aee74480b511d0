/*
 * fault.c
 *	  Faults on purpose, to see that the sanitizers in the server report them.
 */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(fault);

/* fault(1) writes past an allocation, fault(2) shifts too far, fault(3) breaks an assertion. */
Datum
fault(PG_FUNCTION_ARGS)
{
	int32		kind = PG_GETARG_INT32(0);
	volatile size_t size = 8;
	volatile char *allocated = malloc(size);

	if (kind == 1)
		allocated[size] = 0;
	if (kind == 2)
		kind <<= 32 + kind;
	Assert(kind != 3);
	free((void *) allocated);
	PG_RETURN_INT32(kind);
}
