/*
 * tls.c
 *	  TLS of one connection.
 *
 * OpenSSL sees neither socket nor libwebsockets but a BIO of ours: reading takes from what was fed last, writing goes to
 * the socket, and what that does not take is kept. Everything that is fed is read at once, so nothing can be left in
 * OpenSSL that no event would tell us about, and a write never has to be repeated. Its queue of errors belongs to the
 * process, so it is emptied before each call.
 */
#include "postgres.h"

#include <sys/socket.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "listener/tls.h"

/* A client that makes us answer (handshake, new keys) without reading the answers is cut at so many bytes. */
#define UNSENT_MAX		(256 * 1024)

struct Tls
{
	SSL		   *ssl;
	int			fd;
	bool		heard;			/* something has come */
	bool		ended;			/* close_notify is sent, or kept */
	bool		broken;			/* OpenSSL must not be called any more */
	char	   *unsent;			/* malloc'ed; NULL: nothing */
	uint32		unsent_len;
	uint32		unsent_done;	/* bytes of it that are sent */
};

/* What was fed last and not read yet. */
static struct
{
	const Tls  *tls;
	const char *data;
	Size		length;
}			fed;

static char plain[SSL3_RT_MAX_PLAIN_LENGTH];

/* send(2) that tells a full socket (0) from a broken one (-1). */
static ssize_t
send_some(int fd, const char *data, Size length)
{
	ssize_t		sent;

	do
		sent = send(fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	return sent;
}

/* Keep bytes behind those that are kept already. */
static bool
keep(Tls *tls, const char *data, Size length)
{
	Size		left = tls->unsent_len - tls->unsent_done;
	char	   *larger;

	if (left + length > UNSENT_MAX)
		return false;
	larger = malloc(left + length);
	if (larger == NULL)
		return false;
	if (left > 0)
		memcpy(larger, tls->unsent + tls->unsent_done, left);
	memcpy(larger + left, data, length);
	free(tls->unsent);
	tls->unsent = larger;
	tls->unsent_len = left + length;
	tls->unsent_done = 0;
	return true;
}

/* BIO: OpenSSL writes. All is taken, or the connection is broken. */
static int
bio_write(BIO *bio, const char *data, int length)
{
	Tls		   *tls = BIO_get_data(bio);
	ssize_t		sent = 0;

	BIO_clear_retry_flags(bio);
	if (length <= 0)
		return 0;
	if (tls->unsent == NULL)
		sent = send_some(tls->fd, data, length);
	if (sent < 0 || (sent < length && !keep(tls, data + sent, length - sent)))
		return -1;
	return length;
}

/* BIO: OpenSSL reads. */
static int
bio_read(BIO *bio, char *buffer, int size)
{
	int			length;

	BIO_clear_retry_flags(bio);
	if (size <= 0)
		return 0;
	if (fed.tls != BIO_get_data(bio) || fed.length == 0)
	{
		BIO_set_retry_read(bio);
		return -1;
	}
	length = Min(fed.length, (Size) size);
	memcpy(buffer, fed.data, length);
	fed.data += length;
	fed.length -= length;
	return length;
}

static long
bio_control(BIO *bio, int command, long number, void *pointer)
{
	return command == BIO_CTRL_FLUSH ? 1 : 0;
}

/* Once per process. */
static BIO_METHOD *
bio_method(void)
{
	static BIO_METHOD *method;

	if (method == NULL)
	{
		BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "realtime");

		if (made == NULL)
			return NULL;
		BIO_meth_set_write(made, bio_write);
		BIO_meth_set_read(made, bio_read);
		BIO_meth_set_ctrl(made, bio_control);
		method = made;
	}
	return method;
}

Tls *
tls_new(SSL_CTX *context, int fd)
{
	Tls		   *tls = calloc(1, sizeof(Tls));
	BIO		   *bio = NULL;

	ERR_clear_error();
	if (tls != NULL && bio_method() != NULL)
	{
		tls->fd = fd;
		tls->ssl = SSL_new(context);
		bio = BIO_new(bio_method());
	}
	if (tls == NULL || tls->ssl == NULL || bio == NULL)
	{
		BIO_free(bio);
		tls_free(tls);
		ERR_clear_error();
		return NULL;
	}
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_accept_state(tls->ssl);
	return tls;
}

void
tls_free(Tls *tls)
{
	if (tls == NULL)
		return;
	if (fed.tls == tls)
		fed.tls = NULL;
	SSL_free(tls->ssl);
	free(tls->unsent);
	free(tls);
}

/* TLS begins with a record of type 22; what begins with a capital letter is a method. */
bool
tls_is_plain_http(const Tls *tls, const char *data, Size length)
{
	return !tls->heard && length > 0 && data[0] >= 'A' && data[0] <= 'Z';
}

void
tls_feed(Tls *tls, const char *data, Size length)
{
	tls->heard = true;
	fed.tls = tls;
	fed.data = data;
	fed.length = length;
}

/* OpenSSL has given up on a connection, mostly since the client sends what is no TLS or doesn't trust us. */
static void
failed(Tls *tls)
{
	unsigned long code = ERR_get_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	ereport(DEBUG1, (errmsg_internal("TLS: %s", reason != NULL ? reason : "connection broken")));
	ERR_clear_error();
	tls->broken = true;
}

int
tls_read(Tls *tls, char **data)
{
	int			length;

	if (tls->broken)
		return -1;
	ERR_clear_error();
	length = SSL_read(tls->ssl, plain, sizeof(plain));
	if (length > 0)
	{
		*data = plain;
		return length;
	}
	switch (SSL_get_error(tls->ssl, length))
	{
		case SSL_ERROR_WANT_READ:
			ERR_clear_error();
			return 0;
		case SSL_ERROR_ZERO_RETURN:
			ERR_clear_error();
			return -1;
		default:
			failed(tls);
			return -1;
	}
}

/* A record at a time, so that at most the rest of one has to be kept. */
ssize_t
tls_send(Tls *tls, const unsigned char *data, Size length, bool *full)
{
	Size		sent = 0;

	if (tls->broken || tls->ended || !tls_flush(tls))
		return -1;
	while (sent < length && tls->unsent == NULL)
	{
		int			taken;

		ERR_clear_error();
		taken = SSL_write(tls->ssl, data + sent, Min(length - sent, SSL3_RT_MAX_PLAIN_LENGTH));
		if (taken <= 0)
		{
			failed(tls);
			return -1;
		}
		sent += taken;
	}
	*full = tls->unsent != NULL;
	return sent;
}

bool
tls_flush(Tls *tls)
{
	while (tls->unsent != NULL)
	{
		ssize_t		sent = send_some(tls->fd, tls->unsent + tls->unsent_done, tls->unsent_len - tls->unsent_done);

		if (sent < 0)
			return false;
		if (sent == 0)
			break;
		tls->unsent_done += sent;
		if (tls->unsent_done == tls->unsent_len)
		{
			free(tls->unsent);
			tls->unsent = NULL;
			tls->unsent_len = tls->unsent_done = 0;
		}
	}
	return true;
}

bool
tls_has_unsent(const Tls *tls)
{
	return tls->unsent != NULL;
}

/* Called again, SSL_shutdown would read; in the middle of a handshake it is an error. */
void
tls_end(Tls *tls)
{
	if (tls->broken || tls->ended || !SSL_is_init_finished(tls->ssl))
		return;
	tls->ended = true;
	ERR_clear_error();
	if (SSL_shutdown(tls->ssl) < 0)
		tls->broken = true;
	ERR_clear_error();
}
