/*
 * report.c
 *		The table that the benchmark prints.
 */
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int	broken_rows = 0;
static int	missed_rows = 0;

/* Writes a formatted text into a field, cut off if it doesn't fit. */
void
report_text(char *field, size_t size, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(field, size, format, args);
	va_end(args);
}

/* Appends a formatted text to a field, after "; " if there is something already. */
void
report_append(char *field, size_t size, const char *format,...)
{
	size_t		used = strlen(field);
	va_list		args;

	if (used > 0 && used + 3 < size)
	{
		memcpy(field + used, "; ", 3);
		used += 2;
	}
	va_start(args, format);
	vsnprintf(field + used, size - used, format, args);
	va_end(args);
}

/* Prints the two lines that open the table. */
void
report_header(void)
{
	puts("| what | measured | floor | | beside it |");
	puts("|---|---|---|---|---|");
	fflush(stdout);
}

/* What the fourth column says. */
static const char *
verdict_text(verdict v)
{
	switch (v)
	{
		case VERDICT_NONE:
			return "–";
		case VERDICT_MET:
			return "met";
		case VERDICT_MISSED:
			return "**MISSED**";
		case VERDICT_BROKEN:
			return "**BROKEN**";
	}
	return "";
}

/* Prints one row at once, so that an interrupted run leaves what it has found. */
void
report_print(const report_row *row)
{
	if (row->verdict == VERDICT_BROKEN)
		broken_rows++;
	if (row->verdict == VERDICT_MISSED)
		missed_rows++;
	printf("| %s | %s | %s | %s | %s |\n", row->what, row->measured, row->floor,
		   verdict_text(row->verdict), row->beside);
	fflush(stdout);
}

/* Prints a row for a figure that could not be measured, with the reason. */
void
report_broken(const char *what, const char *format,...)
{
	report_row	row = {.verdict = VERDICT_BROKEN};
	va_list		args;

	ROW_SET(row.what, "%s", what);
	va_start(args, format);
	vsnprintf(row.measured, sizeof(row.measured), format, args);
	va_end(args);
	/* a text from the server must not break the table */
	for (char *p = row.measured; *p != '\0'; p++)
		if (*p == '|' || *p == '\n' || *p == '\r')
			*p = ' ';
	report_print(&row);
}

/* Says on standard error what is being done. */
void
report_progress(const char *format,...)
{
	va_list		args;

	fputs("bench: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* Whether something broke (as opposed to being too slow). */
bool
report_any_broken(void)
{
	return broken_rows > 0;
}

/* Number of rows that missed their floor. */
int
report_missed_count(void)
{
	return missed_rows;
}
