/*
 * server_text.h
 *	  Texts between clients, which speak UTF-8, and the server.
 */
#ifndef REALTIME_SERVER_TEXT_H
#define REALTIME_SERVER_TEXT_H

#include "wire/slice.h"

/*
 * The text in the encoding of the database, palloc'ed. Throws if that lacks one of its characters, or if it holds a NUL: that
 * would end it early, and something else would be judged. what says for the message what may be wrong: "a topic".
 */
extern char *server_text(Slice slice, const char *what);

/*
 * The way back: text of the database becomes UTF-8, in place or palloc'ed; false: it has bytes that have no form in it. What a
 * row holds never makes this throw. In a transaction.
 */
extern bool utf8_of_server_text(Slice *text);

#endif							/* REALTIME_SERVER_TEXT_H */
