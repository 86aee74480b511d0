/*
 * options.c
 *	  Linked into the programs of the server that make asan builds.
 *
 * The undefined-behaviour sanitizer reads its options when it has something to report, from what the kernel has of the
 * environment; by then PostgreSQL has written the title of the process over that, and kept a copy.
 */
#include <stdlib.h>

const char *__ubsan_default_options(void);

const char *
__ubsan_default_options(void)
{
	const char *options = getenv("UBSAN_OPTIONS");

	return options == NULL ? "" : options;
}
