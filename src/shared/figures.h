/*
 * figures.h
 *	  Limits, queues and lags by name: what realtime.stats and /metrics show besides the counters.
 */
#ifndef REALTIME_FIGURES_H
#define REALTIME_FIGURES_H

typedef enum FigureUnit
{
	FIGURE_PLAIN,
	FIGURE_BYTES,
	FIGURE_MILLISECONDS,
	FIGURE_MICROSECONDS
} FigureUnit;

typedef struct Figure
{
	const char *name;			/* of a limit: that of its setting, without "realtime." */
	bool		is_limit;
	FigureUnit	unit;
	int64		value;
	const char *help;			/* one sentence */
} Figure;

/* _PG_init: a figure of another room; read is called by any process and must not throw. */
extern void figures_add(const char *name, FigureUnit unit, uint64 (*read) (void), const char *help);

/* The n-th of all figures, from 0 on; false past the last. Any process; never throws. */
extern bool figure_nth(int n, Figure *figure);

#endif							/* REALTIME_FIGURES_H */
