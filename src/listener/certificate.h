/*
 * certificate.h
 *	  The server's certificate and private key, as an OpenSSL context that new connections are made from.
 *
 * Everything runs in the listener, between two turns of the loop; nothing throws.
 */
#ifndef REALTIME_LISTENER_CERTIFICATE_H
#define REALTIME_LISTENER_CERTIFICATE_H

#include "shared/registry.h"

struct ssl_ctx_st;

/* Why a certificate could not be loaded, and what to do about it. */
typedef struct CertificateFault
{
	char		detail[WORKER_DETAIL_SIZE];
	char		hint[WORKER_DETAIL_SIZE];
} CertificateFault;

/*
 * Read the files that realtime.ssl_cert_file and realtime.ssl_key_file name. False: what was loaded before, if anything,
 * stays in use, and *fault says why. Connections that are there keep the certificate that they began with.
 */
extern bool certificate_load(CertificateFault *fault);

/* TLS is off: forget it. */
extern void certificate_forget(void);

/* What new connections are made from; NULL: none. */
extern struct ssl_ctx_st *certificate_context(void);

#endif							/* REALTIME_LISTENER_CERTIFICATE_H */
