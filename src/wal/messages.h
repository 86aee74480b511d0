/*
 * messages.h
 *	  Output plugin callbacks of the message decoder: committed rows of realtime.messages become records on the bus.
 *
 * Rows are collected and put on the bus together with the position that they reach, under one lock, so that a decoder
 * that is started again knows exactly where to go on: it passes over what lies before. Message decoder only.
 */
#ifndef REALTIME_MESSAGES_H
#define REALTIME_MESSAGES_H

#include "replication/output_plugin.h"

/* What _PG_output_plugin_init hands out in the decoder's process. */
extern void messages_plugin_init(OutputPluginCallbacks *callbacks);

/* Begin to deliver where the last decoder ended: reads the position from the bus. */
extern void messages_begin(void);

/* Is something collected that is not on the bus yet? */
extern bool messages_pending(void);

/* Put what is collected on the bus. May wait for slow listeners, and so process interrupts and throw. */
extern void messages_flush(void);

/*
 * Everything up to position is delivered or lost; put the announcement of the gap on the bus, if text is not
 * NULL, with what is collected before it.
 */
extern void messages_gap(XLogRecPtr position, const char *text);

#endif							/* REALTIME_MESSAGES_H */
