/*
 * server.c
 *	  libwebsockets: its context, its log and its callback; and whether a connection is plain or TLS.
 *
 * Nothing that libwebsockets calls may throw: no ereport above LOG, no palloc, no interrupts, no catalog.
 *
 * Its timers are one sorted list, so none of ours are in it: requests, idle connections and closes are timed by
 * connection.c. Nothing is ever given to lws_write, since libwebsockets does not read from a socket that it has kept
 * bytes for, and calls again and again while that socket has something to be read.
 */
#include "postgres.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libwebsockets.h>
#include <uv.h>

#include "listener/certificate.h"
#include "listener/input.h"
#include "listener/output.h"
#include "listener/server.h"
#include "listener/tls.h"
#include "shared/settings.h"

#define SERVICE_BUFFER		(64 * 1024) /* bytes, for the process: what is read from a socket at a time */
#define FILES_BESIDES		512		/* descriptors that are no clients */

/* For a client that speaks HTTP to a TLS port. */
static const char speaks_http[] =
"HTTP/1.1 400 Bad Request\r\n"
"content-type: text/plain; charset=utf-8\r\n"
"content-length: 47\r\n"
"connection: close\r\n"
"\r\n"
"Client sent an HTTP request to an HTTPS server.";

static struct lws_context *context;
static struct lws_vhost *vhost;
static bool starting;

static int	callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

static const struct lws_protocols protocols[] = {
	{"realtime", callback, 0, 0, 0, NULL, 0},
	{NULL, NULL, 0, 0, 0, NULL, 0}
};

/* Whatever a client can make libwebsockets say is for debugging only. */
static void
log_line(int level, const char *line)
{
	int			length = strcspn(line, "\r\n");

	ereport(starting && level == LLL_ERR ? LOG : DEBUG1, (errmsg_internal("libwebsockets: %.*s", length, line)));
}

/* libwebsockets makes tables of this size when it starts, so this comes before. */
static void
raise_file_limit(void)
{
	struct rlimit limit;
	rlim_t		wanted = (rlim_t) realtime_max_clients + FILES_BESIDES;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? wanted : Min(wanted, limit.rlim_max);
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		ereport(LOG, (errmsg("could not raise the limit of open files: %m")));
}

bool
server_start(uv_loop_t *loop)
{
	static const lws_retry_bo_t no_keepalive;
	void	   *loops[1] = {loop};
	struct lws_context_creation_info info;

	raise_file_limit();
	lws_set_log_level(LLL_ERR | LLL_WARN, log_line);
	memset(&info, 0, sizeof(info));
	info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
	info.foreign_loops = loops;
	info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
	info.protocols = protocols;
	info.retry_and_idle_policy = &no_keepalive;
	info.pt_serv_buf_size = SERVICE_BUFFER;
	info.gid = info.uid = -1;

	starting = true;
	context = lws_create_context(&info);
	if (context != NULL)
		vhost = lws_create_vhost(context, &info);
	starting = false;
	return vhost != NULL;
}

/* libwebsockets has let go of the socket, or never took it. */
static void
gone(Connection *connection)
{
	tls_free(connection->tls);
	connection->tls = NULL;
	connection_gone(connection);
}

/* Without a certificate a connection must not become a plain one. */
static bool
begin_tls(Connection *connection, int fd)
{
	if (certificate_context() != NULL)
		connection->tls = tls_new(certificate_context(), fd);
	return connection->tls != NULL;
}

void
server_adopt(Connection *connection, int fd)
{
	lws_adopt_desc_t description;
	struct lws *wsi;

	if (realtime_ssl && !begin_tls(connection, fd))
	{
		close(fd);
		gone(connection);
		return;
	}
	memset(&description, 0, sizeof(description));
	description.vh = vhost;
	description.type = LWS_ADOPT_SOCKET;
	description.fd.sockfd = fd;
	description.opaque = connection_handle(connection);
	wsi = lws_adopt_descriptor_vhost_via_info(&description);
	if (wsi == NULL)
		gone(connection);
	else if (connection->state == CONNECTION_HTTP)
		connection->wsi = wsi;
}

ssize_t
server_send(Connection *connection, const unsigned char *data, Size length, bool *full)
{
	ssize_t		sent;

	if (connection->wsi == NULL)
		return -1;
	if (connection->tls != NULL)
		return tls_send(connection->tls, data, length, full);
	do
		sent = send(lws_get_socket_fd(connection->wsi), data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		sent = 0;
	*full = sent < (ssize_t) length;
	return sent;
}

void
server_want_writeable(Connection *connection)
{
	if (connection->wsi != NULL)
		(void) lws_callback_on_writable(connection->wsi);
}

void
server_limit_unacknowledged(Connection *connection, int ms)
{
	unsigned	timeout = ms;

	if (connection->wsi != NULL)
		(void) setsockopt(lws_get_socket_fd(connection->wsi), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
}

void
server_shutdown(Connection *connection, int how)
{
	if (connection->tls != NULL)
		tls_end(connection->tls);
	if (connection->wsi != NULL)
		(void) shutdown(lws_get_socket_fd(connection->wsi), how);
}

/* Told in plain text, which is what it understands; then it is closed as after any other answer. */
static void
refuse_plain_http(Connection *connection)
{
	tls_free(connection->tls);
	connection->tls = NULL;
	(void) send(lws_get_socket_fd(connection->wsi), speaks_http, sizeof(speaks_http) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	connection_finish(connection);
}

/* Bytes have come on a connection with TLS. False: it has ended. */
static bool
received_tls(Connection *connection, const char *data, Size length)
{
	char	   *plain;
	int			read = 0;

	if (connection->state == CONNECTION_CUT)
		return true;
	if (tls_is_plain_http(connection->tls, data, length))
	{
		refuse_plain_http(connection);
		return true;
	}
	tls_feed(connection->tls, data, length);
	while (connection->state != CONNECTION_CUT && (read = tls_read(connection->tls, &plain)) > 0)
		input_received(connection, plain, read);
	if (read < 0)
		tls_end(connection->tls);
	else if (tls_has_unsent(connection->tls))
		server_want_writeable(connection);
	return read >= 0;
}

/* The socket takes more: what TLS has kept comes first. False: it is broken. */
static bool
writeable(Connection *connection)
{
	if (connection->tls != NULL)
	{
		if (!tls_flush(connection->tls))
			return false;
		if (tls_has_unsent(connection->tls))
		{
			server_want_writeable(connection);
			return true;
		}
	}
	return output_writeable(connection);
}

/* libwebsockets also calls without a connection, or for one that is gone. -1 makes it close the socket. */
static int
callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	Connection *connection = NULL;

	if (wsi != NULL)
		connection = connection_of_handle(lws_get_opaque_user_data(wsi));
	switch (reason)
	{
		case LWS_CALLBACK_RAW_ADOPT:
			return connection != NULL ? 0 : -1;
		case LWS_CALLBACK_RAW_RX:
			if (connection == NULL)
				return -1;
			if (connection->tls != NULL)
				return received_tls(connection, in, len) ? 0 : -1;
			input_received(connection, in, len);
			return 0;
		case LWS_CALLBACK_RAW_WRITEABLE:
			return connection != NULL && writeable(connection) ? 0 : -1;
		case LWS_CALLBACK_RAW_CLOSE:
		case LWS_CALLBACK_WSI_DESTROY:
			if (connection != NULL)
				gone(connection);
			return 0;
		default:
			return 0;
	}
}
