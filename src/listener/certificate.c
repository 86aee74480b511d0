/*
 * certificate.c
 *	  The server's certificate and private key.
 *
 * The rules for the key file are PostgreSQL's: nobody but its owner may read it, or, if it is root's, its group. A key
 * with a passphrase is refused: there is nobody to ask, least of all on a reload.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "utils/guc.h"

#include "listener/certificate.h"
#include "shared/settings.h"

/* For TLS 1.2: forward secrecy and authenticated encryption only. Those of TLS 1.3 are all of this kind. */
#define CIPHERS_TLS_1_2		"ECDHE+AESGCM:ECDHE+CHACHA20"

/* The only protocol that is spoken, as ALPN writes it. */
static const unsigned char http_1_1[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

static SSL_CTX *current;

/* Our own setting or the server's; its header libpq.h wants headers of Kerberos. */
static const char *
file_name(const char *ours, const char *servers)
{
	if (ours[0] == '\0')
		ours = GetConfigOption(servers, true, false);
	return ours != NULL ? ours : "";
}

static const char *
certificate_file(void)
{
	return file_name(realtime_ssl_cert_file, "ssl_cert_file");
}

static const char *
key_file(void)
{
	return file_name(realtime_ssl_key_file, "ssl_key_file");
}

static bool fail(CertificateFault *fault, const char *hint, const char *format,...) pg_attribute_printf(3, 4);

/* For the callers' convenience, false. */
static bool
fail(CertificateFault *fault, const char *hint, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(fault->detail, sizeof(fault->detail), format, args);
	va_end(args);
	strlcpy(fault->hint, hint, sizeof(fault->hint));
	return false;
}

/* What OpenSSL says about its last failure. */
static const char *
openssl_reason(void)
{
	unsigned long code = ERR_get_error();
	const char *reason = NULL;

	if (code != 0)
		reason = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
	ERR_clear_error();
	return reason != NULL ? reason : "unknown error";
}

/* A client that names protocols must name ours. */
static int
select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_length, const unsigned char *in,
				unsigned int in_length, void *arg)
{
	unsigned char *chosen;

	if (SSL_select_next_proto(&chosen, out_length, http_1_1, sizeof(http_1_1), in, in_length) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* OpenSSL asks for the passphrase of the key: never on a terminal. */
static int
passphrase_wanted(char *buffer, int size, int writing, void *asked)
{
	*(bool *) asked = true;
	return -1;
}

/*
 * A context without a certificate. Sessions are not resumed: after a restart, when everybody comes at once, the keys
 * for that would be gone anyway, and several listeners don't share them.
 */
static SSL_CTX *
new_context(void)
{
	SSL_CTX    *context = SSL_CTX_new(TLS_server_method());

	if (context == NULL)
		return NULL;
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					 SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_select_cb(context, select_protocol, NULL);
	if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
		SSL_CTX_set_cipher_list(context, CIPHERS_TLS_1_2) == 1 &&
		SSL_CTX_set_num_tickets(context, 0) == 1)
		return context;
	SSL_CTX_free(context);
	return NULL;
}

/* Opens a file that has to be a regular one, so that nothing here can wait. -1: *fault says why not. */
static int
open_file(const char *what, const char *setting, const char *name, struct stat *status, CertificateFault *fault)
{
	int			fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char		hint[WORKER_DETAIL_SIZE];

	snprintf(hint, sizeof(hint), "Correct %s, or put the file there; relative names are below the data directory.",
			 setting);
	if (fd < 0)
	{
		(void) fail(fault, hint, "could not open %s file \"%s\": %s", what, name, strerror(errno));
		return -1;
	}
	if (fstat(fd, status) == 0 && S_ISREG(status->st_mode))
		return fd;
	close(fd);
	(void) fail(fault, hint, "%s file \"%s\" is not a regular file", what, name);
	return -1;
}

static bool
use_certificate(SSL_CTX *context, CertificateFault *fault)
{
	const char *name = certificate_file();
	struct stat status;
	int			fd = open_file("certificate", "realtime.ssl_cert_file", name, &status, fault);

	if (fd < 0)
		return false;
	close(fd);
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(context, name) == 1)
		return true;
	return fail(fault, "It has to hold the server's certificate in PEM format, followed by those of intermediate authorities.",
				"could not load certificate file \"%s\": %s", name, openssl_reason());
}

/* PostgreSQL's rules, in be-secure-common.c. */
static bool
check_key_permissions(const struct stat *status, const char *name, CertificateFault *fault)
{
	if (status->st_uid != geteuid() && status->st_uid != 0)
		return fail(fault, "Change its owner with chown.",
					"private key file \"%s\" must be owned by the database user or root", name);
	if ((status->st_uid == geteuid() && (status->st_mode & (S_IRWXG | S_IRWXO))) ||
		(status->st_uid == 0 && (status->st_mode & (S_IWGRP | S_IXGRP | S_IRWXO))))
		return fail(fault,
					"Permissions should be u=rw (0600) or less if owned by the database user, or u=rw,g=r (0640) or less if owned by root.",
					"private key file \"%s\" has group or world access", name);
	return true;
}

/* Takes over the descriptor. */
static EVP_PKEY *
read_key(int fd, const char *name, CertificateFault *fault)
{
	FILE	   *file = fdopen(fd, "r");
	bool		asked = false;
	EVP_PKEY   *key;

	if (file == NULL)
	{
		(void) fail(fault, "Try again.", "could not read private key file \"%s\": %s", name, strerror(errno));
		close(fd);
		return NULL;
	}
	ERR_clear_error();
	key = PEM_read_PrivateKey(file, NULL, passphrase_wanted, &asked);
	fclose(file);
	if (key == NULL && asked)
		(void) fail(fault, "Store the key without one (openssl pkey -in … -out …); file permissions protect it.",
					"private key file \"%s\" is protected by a passphrase", name);
	else if (key == NULL)
		(void) fail(fault, "It has to hold the private key in PEM format.", "could not load private key file \"%s\": %s",
					name, openssl_reason());
	ERR_clear_error();
	return key;
}

static bool
use_key(SSL_CTX *context, CertificateFault *fault)
{
	const char *name = key_file();
	struct stat status;
	int			fd = open_file("private key", "realtime.ssl_key_file", name, &status, fault);
	EVP_PKEY   *key;
	bool		fits;

	if (fd < 0)
		return false;
	if (!check_key_permissions(&status, name, fault))
	{
		close(fd);
		return false;
	}
	key = read_key(fd, name, fault);
	if (key == NULL)
		return false;
	fits = SSL_CTX_use_PrivateKey(context, key) == 1 && SSL_CTX_check_private_key(context) == 1;
	EVP_PKEY_free(key);
	if (fits)
		return true;
	return fail(fault, "Name a certificate and the key that it was made with.",
				"private key file \"%s\" does not belong to certificate file \"%s\": %s",
				name, certificate_file(), openssl_reason());
}

bool
certificate_load(CertificateFault *fault)
{
	SSL_CTX    *context;

	ERR_clear_error();
	context = new_context();
	if (context == NULL)
		return fail(fault, "See the system's OpenSSL configuration.", "could not prepare TLS: %s", openssl_reason());
	if (!use_certificate(context, fault) || !use_key(context, fault))
	{
		SSL_CTX_free(context);
		return false;
	}
	certificate_forget();
	current = context;
	return true;
}

void
certificate_forget(void)
{
	SSL_CTX_free(current);
	current = NULL;
}

SSL_CTX *
certificate_context(void)
{
	return current;
}
