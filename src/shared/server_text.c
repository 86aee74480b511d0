/*
 * server_text.c
 *	  Texts between clients, which speak UTF-8, and the server.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

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

static bool
is_ascii(Slice text)
{
	for (Size i = 0; i < text.len; i++)
		if (IS_HIGHBIT_SET(text.data[i]))
			return false;
	return true;
}

/*
 * false: there is a character that has no form in UTF-8, where pg_server_to_any would throw. The conversion is looked
 * up here, not once for all: under a historic snapshot that shows the one of the row's time, with its function, which may
 * have been dropped since.
 */
static bool
convert(Slice *text)
{
	int			encoding = GetDatabaseEncoding();
	Oid			function = FindDefaultConversionProc(encoding, PG_UTF8);
	Size		room = text->len * MAX_CONVERSION_GROWTH + 1;
	char	   *converted;

	if (!OidIsValid(function))
		return false;
	converted = MemoryContextAllocHuge(CurrentMemoryContext, room);
	if (pg_do_encoding_conversion_buf(function, encoding, PG_UTF8, (unsigned char *) text->data, text->len,
									  (unsigned char *) converted, room, true) < (int) text->len)
		return false;
	*text = slice_cstring(converted);
	return true;
}

bool
utf8_of_server_text(Slice *text)
{
	if (GetDatabaseEncoding() == PG_UTF8 || is_ascii(*text))
		return true;
	return (GetDatabaseEncoding() == PG_SQL_ASCII || convert(text)) && slice_is_utf8(*text);
}
