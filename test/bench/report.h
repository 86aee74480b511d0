/*
 * report.h
 *		The table that the benchmark prints: Markdown on standard output, one row
 *		a figure. Progress and errors go to standard error.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>

typedef enum verdict
{
	VERDICT_NONE,				/* no floor is set for this figure */
	VERDICT_MET,
	VERDICT_MISSED,
	VERDICT_BROKEN				/* messages lost, repeated or out of order, or no result at all */
} verdict;

typedef struct report_row
{
	char		what[160];
	char		measured[240];
	char		floor[120];
	char		beside[640];	/* what it cost and what else was seen */
	verdict		verdict;
} report_row;

extern void report_text(char *field, size_t size, const char *format,...)
			__attribute__((format(printf, 3, 4)));
extern void report_append(char *field, size_t size, const char *format,...)
			__attribute__((format(printf, 3, 4)));
extern void report_header(void);
extern void report_print(const report_row *row);
extern void report_broken(const char *what, const char *format,...)
			__attribute__((format(printf, 2, 3)));
extern void report_progress(const char *format,...)
			__attribute__((format(printf, 1, 2)));
extern bool report_any_broken(void);
extern int	report_missed_count(void);

/* Writes into one of the fields of a row, and appends to it. */
#define ROW_SET(field, ...) report_text((field), sizeof(field), __VA_ARGS__)
#define ROW_ADD(field, ...) report_append((field), sizeof(field), __VA_ARGS__)

#endif							/* BENCH_REPORT_H */
