/*
 * change_filter_private.h
 *	  What a filter is made of; for change_filter.c and change_filter_make.c.
 */
#ifndef REALTIME_CHANGE_FILTER_PRIVATE_H
#define REALTIME_CHANGE_FILTER_PRIVATE_H

#include "fmgr.h"

#include "wire/filter.h"

typedef enum FilterIs
{
	FILTER_IS_NULL,
	FILTER_IS_TRUE,
	FILTER_IS_FALSE,
	FILTER_IS_UNKNOWN
} FilterIs;

/* One condition, ready to be tested. */
typedef struct FilterTest
{
	Slice		column;			/* followed by a zero byte */
	int			position;		/* where the column was in the last record; only a guess */
	Oid			type;			/* of the column; its values are read as those of the type beneath, if it is a domain */
	FilterOp	op;
	bool		negate;
	FilterIs	is;				/* FILTER_IS only */
	FmgrInfo	input;			/* of the values of the column */
	Oid			input_param;
	FmgrInfo	compare;		/* not for FILTER_IS */
	bool		invert;			/* compare says the opposite of the operator */
	Oid			collation;
	int			value_count;	/* what is compared with: 1, 0 for FILTER_IS, any number for FILTER_IN, */
	Datum	   *values;			/* none of them NULL */
	bool		list_has_null;	/* FILTER_IN: there were NULLs too */
	char	   *text;			/* the condition in the one writing for all equal ones */
} FilterTest;

struct ChangeFilter
{
	int			count;
	FilterTest *tests;
};

#endif							/* REALTIME_CHANGE_FILTER_PRIVATE_H */
