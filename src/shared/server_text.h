/*
 * server_text.h
 *	  Texts of clients, which are UTF-8, for the server.
 */
#ifndef REALTIME_SERVER_TEXT_H
#define REALTIME_SERVER_TEXT_H

#include "wire/slice.h"

/*
 * The text in the encoding of the database, palloc'ed. Throws if that lacks one of its characters, or if it holds a NUL: that
 * would end it early, and something else would be judged. what says for the message what may be wrong: "a topic".
 */
extern char *server_text(Slice slice, const char *what);

#endif							/* REALTIME_SERVER_TEXT_H */
