/*
 * utf8.h
 *	  Text of the database for sockets, which speak UTF-8.
 */
#ifndef REALTIME_CHANGES_UTF8_H
#define REALTIME_CHANGES_UTF8_H

#include "lib/stringinfo.h"

/*
 * What stands behind start becomes UTF-8. Characters that have no form there, and in a database without an encoding bytes that are
 * none, become U+FFFD: data never makes this throw, only memory that runs out does. May begin the transaction (work.h), since
 * conversions are looked up. Changes worker.
 */
extern void utf8_convert(StringInfo out, int start);

#endif							/* REALTIME_CHANGES_UTF8_H */
