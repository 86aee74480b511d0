/*
 * elixir.h
 *		Values as the reference server shows them in its messages: in the notation of Elixir.
 *
 * A string is "…" with Elixir's escapes, or <<1, 2>> if it holds characters that can't be printed. null is nil, an
 * object %{"key" => value}, an array […] or, if all its elements are codes of ASCII characters, ~c"…". Everything
 * stands on one line.
 *
 * Like there, long values are cut: a string after ELIXIR_MAX_CHARACTERS (`"…" <> ...`), a value with what is nested
 * in it after ELIXIR_MAX_ITEMS elements and members (`...`).
 */
#ifndef REALTIME_WIRE_ELIXIR_H
#define REALTIME_WIRE_ELIXIR_H

#include "wire/slice.h"

#define ELIXIR_MAX_ITEMS		100
#define ELIXIR_MAX_CHARACTERS	4096

/* elixir_text() writes no more than this, in bytes. */
#define ELIXIR_TEXT_BOUND		(4 * ELIXIR_MAX_CHARACTERS + 16)

/* A text, which should be UTF-8. */
void		elixir_text(Writer *w, Slice text);

/*
 * A valid JSON token. Keys of an object are sorted and the first of equal ones counts; beyond 32 different keys they
 * come as they are written. Each level reads what is below it anew, a few times ELIXIR_MAX_ITEMS times in all: not for
 * megabytes.
 */
void		elixir_json(Writer *w, Slice token);

#endif							/* REALTIME_WIRE_ELIXIR_H */
