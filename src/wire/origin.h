/*
 * origin.h
 *		The header Origin (RFC 6454) and the list of those that are allowed.
 *
 * A list is text: origins separated by commas, with blanks around them or not.  An entry is `*` (all), `null` (what a
 * browser sends for a page without an origin) or scheme://host[:port].
 */
#ifndef REALTIME_WIRE_ORIGIN_H
#define REALTIME_WIRE_ORIGIN_H

#include "slice.h"

/* Longest origin that can be allowed, in bytes: a scheme, a host name of 253 and a port. */
#define ORIGIN_MAX			320

/*
 * Is every entry of the list one of those above?  If not, *wrong is the first that is none.  An empty list is valid
 * and allows nothing.
 */
bool		origin_list_valid(Slice list, Slice *wrong) WIRE_MUST_CHECK;

/* Does the list allow every origin? */
bool		origin_list_allows_all(Slice list);

/*
 * Does the list allow this one?  Scheme and host count in any case, the port exactly, and a default port (http, https,
 * ws, wss) is the same as none.  Anything that is no origin is allowed only by `*`.
 */
bool		origin_allowed(Slice list, Slice origin);

/*
 * The header lines, each with its line end, that let a page of this origin read an answer: for all origins, for this
 * one, or none if it is not allowed.  origin is empty if the request names none.  At most ORIGIN_CORS_BOUND bytes.
 */
void		origin_write_cors(Writer *w, Slice list, Slice origin);

#define ORIGIN_CORS_BOUND	(ORIGIN_MAX + 64)

#endif							/* REALTIME_WIRE_ORIGIN_H */
