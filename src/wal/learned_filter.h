/*
 * learned_filter.h
 *	  What the change decoder passes over: relations that it has learned to be of no interest.
 *
 * A relation is looked up when a record of it is read, and what was found holds until something changes that it depends
 * on. Change decoder only.
 */
#ifndef REALTIME_LEARNED_FILTER_H
#define REALTIME_LEARNED_FILTER_H

#include "wal/reader.h"

extern const ReaderFilter learned_filter;

/* The publication that counts is another one now: forget all that was learned. Outside of reader_next. */
extern void learned_filter_reset(void);

/* End of the last record that changed publications or schemas, as far as WAL has been read. */
extern XLogRecPtr learned_filter_last_reset(void);

#endif							/* REALTIME_LEARNED_FILTER_H */
