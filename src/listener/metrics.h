/*
 * metrics.h
 *	  GET /metrics: what realtime.stats has, and histograms, as Prometheus text (PROTOCOL 10).
 */
#ifndef REALTIME_LISTENER_METRICS_H
#define REALTIME_LISTENER_METRICS_H

#include "listener/connection.h"
#include "wire/http_head.h"

#define METRICS_TYPE	"text/plain; version=0.0.4; charset=utf-8"

/*
 * Who may: a client on this host whose request no proxy has passed on, and whoever has a good token of the role
 * realtime.metrics_role.
 */
extern bool metrics_may_read(const Connection *connection, const HttpHead *head);

/* The text; valid until the next call. Empty: it is too long for its buffer. */
extern Slice metrics_text(void);

#endif							/* REALTIME_LISTENER_METRICS_H */
