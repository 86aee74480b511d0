/*
 * change_output.h
 *	  Output plugin callbacks of the change decoder: committed changes of published tables become messages of the change stream.
 */
#ifndef REALTIME_CHANGE_OUTPUT_H
#define REALTIME_CHANGE_OUTPUT_H

#include "replication/output_plugin.h"

#include "shared/change_record.h"

/* What _PG_output_plugin_init hands out in the change decoder's process. */
extern void change_output_plugin_init(OutputPluginCallbacks *callbacks);

/* Send a message that is no row. May wait for the receiver, and so process interrupts and leave. */
extern void change_output_mark(ChangeMessage message, TransactionId xid, XLogRecPtr end, TimestampTz at);

#endif							/* REALTIME_CHANGE_OUTPUT_H */
