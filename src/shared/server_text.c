/*
 * server_text.c
 *	  Texts of clients, which are UTF-8, for the server.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "shared/server_text.h"

char *
server_text(Slice slice, const char *what)
{
	char	   *text = slice.len == 0 ? pstrdup("") : pnstrdup(slice.data, slice.len);

	if (strlen(text) != slice.len)
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("%s holds a NUL character", what)));
	return pg_any_to_server(text, slice.len, PG_UTF8);
}
