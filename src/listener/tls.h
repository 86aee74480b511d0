/*
 * tls.h
 *	  TLS of one connection, by OpenSSL.
 *
 * What libwebsockets has read from the socket goes in by tls_feed and comes out of tls_read; what tls_send encrypts
 * goes to the socket at once, and what the socket does not take is kept here, at most about one record. So OpenSSL
 * never has to be asked again to write the same bytes, whatever becomes of the queue meanwhile.
 *
 * All of this may be called inside callbacks of libwebsockets, and nothing throws.
 */
#ifndef REALTIME_LISTENER_TLS_H
#define REALTIME_LISTENER_TLS_H

struct ssl_ctx_st;

typedef struct Tls Tls;

/* The server's side on an accepted socket, which stays the caller's. NULL: no memory. Given back by tls_free. */
extern Tls *tls_new(struct ssl_ctx_st *context, int fd);

/* NULL is fine. */
extern void tls_free(Tls *tls);

/* Are these, the first bytes of a client, an HTTP request without TLS? */
extern bool tls_is_plain_http(const Tls *tls, const char *data, Size length);

/*
 * Bytes have come from the socket. They must stay where they are until tls_read has returned 0 or less, and nothing may
 * be fed to another connection before.
 */
extern void tls_feed(Tls *tls, const char *data, Size length);

/*
 * What was fed, as plain text, at most a record at a time: its length, and *data, which is valid until the next call
 * for any connection. 0: everything is used up. -1: the client has ended TLS, or has broken it.
 */
extern int	tls_read(Tls *tls, char **data);

/*
 * Encrypt and send what the socket takes: bytes that have been taken over, -1 if the connection is broken. *full: part
 * of them is still kept here; call tls_flush once the socket takes more.
 */
extern ssize_t tls_send(Tls *tls, const unsigned char *data, Size length, bool *full);

/* Send what is kept. False: the connection is broken. */
extern bool tls_flush(Tls *tls);

/* Is something kept that the socket has not taken yet? */
extern bool tls_has_unsent(const Tls *tls);

/* Tell the client that nothing more comes (close_notify); the socket is not touched. */
extern void tls_end(Tls *tls);

#endif							/* REALTIME_LISTENER_TLS_H */
