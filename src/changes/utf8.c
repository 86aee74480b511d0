/*
 * utf8.c
 *	  Text of the database for sockets, which speak UTF-8.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "common/string.h"
#include "mb/pg_wchar.h"

#include "changes/utf8.h"
#include "changes/work.h"
#include "wire/slice.h"

#define REPLACEMENT		"\xEF\xBF\xBD"

/* A database without an encoding may hold any bytes. */
static void
replace_invalid(StringInfo out, int start)
{
	char	   *text = pnstrdup(out->data + start, out->len - start);
	int			len = out->len - start;
	int			plain = 0;

	out->len = start;
	for (int i = 0; i < len;)
	{
		int			size = pg_utf_mblen((unsigned char *) text + i);

		if (i + size <= len && pg_utf8_islegal((unsigned char *) text + i, size))
			i += size;
		else
		{
			appendBinaryStringInfo(out, text + plain, i - plain);
			appendStringInfoString(out, REPLACEMENT);
			plain = ++i;
		}
	}
	appendBinaryStringInfo(out, text + plain, len - plain);
	pfree(text);
}

/* Room is made for the longest result at once, or the conversion would stop where it ends. */
static void
convert(StringInfo out, int start)
{
	int			encoding = GetDatabaseEncoding();
	int			left = out->len - start;
	char	   *text = pnstrdup(out->data + start, left);
	char	   *at = text;
	Oid			function;

	work_begin();
	function = FindDefaultConversionProc(encoding, PG_UTF8);
	out->len = start;
	enlargeStringInfo(out, left * MAX_CONVERSION_GROWTH + 1);
	for (;;)
	{
		int			done = 0;

		if (OidIsValid(function))
		{
			done = pg_do_encoding_conversion_buf(function, encoding, PG_UTF8, (unsigned char *) at, left,
												 (unsigned char *) out->data + out->len, out->maxlen - out->len, true);
			out->len += strlen(out->data + out->len);
		}
		at += done;
		left -= done;
		if (left <= 0)
			break;
		if (!OidIsValid(function) && !IS_HIGHBIT_SET(*at))
		{
			appendStringInfoChar(out, *at);
			done = 1;
		}
		else
		{
			appendStringInfoString(out, REPLACEMENT);
			done = Min(pg_encoding_mblen(encoding, at), left);
		}
		at += done;
		left -= done;
	}
	pfree(text);
}

void
utf8_convert(StringInfo out, int start)
{
	switch (GetDatabaseEncoding())
	{
		case PG_UTF8:
			break;
		case PG_SQL_ASCII:
			if (!slice_is_utf8(slice_make(out->data + start, out->len - start)))
				replace_invalid(out, start);
			break;
		default:
			if (!pg_is_ascii(out->data + start))
				convert(out, start);
			break;
	}
}
