/*
 * error_text.h
 *	  How an error of PostgreSQL is told to a client: `ERROR 22P02 (invalid_text_representation) invalid input syntax …`.
 */
#ifndef REALTIME_CHANGES_ERROR_TEXT_H
#define REALTIME_CHANGES_ERROR_TEXT_H

#include "lib/stringinfo.h"

/* Append it, with hint and detail behind the message, all on one line. */
extern void error_text_append(StringInfo out, const ErrorData *error);

#endif							/* REALTIME_CHANGES_ERROR_TEXT_H */
