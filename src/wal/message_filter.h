/*
 * message_filter.h
 *	  What the message decoder lets pass: heap records of files that hold rows of realtime.messages.
 */
#ifndef REALTIME_MESSAGE_FILTER_H
#define REALTIME_MESSAGE_FILTER_H

#include "wal/reader.h"

/* Message decoder only. */
extern const ReaderFilter message_filter;

#endif							/* REALTIME_MESSAGE_FILTER_H */
