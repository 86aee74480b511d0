/*
 * accept.c
 *	  Connections that come to a listening socket: who is let in, and who is turned away.
 */
#include "postgres.h"

#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener/accept.h"
#include "listener/admission.h"
#include "listener/connection.h"
#include "listener/server.h"
#include "listener/tally.h"
#include "shared/settings.h"

#define ACCEPT_BATCH		128
#define ACCEPT_BATCH_TLS	16		/* a handshake may take a millisecond, and the others must not wait for many */
#define ACCEPT_PAUSE		500		/* ms */

/* Connections beyond max_clients and max_unjoined that are let in far enough to be told so; more are told blindly. */
#define OVER_LIMIT_MAX		100

#define UNSENT_MAX			(16 * 1024)	/* bytes of one connection that the kernel keeps besides those on their way */

/* A connection that can't be served is told so without having been heard. */
static const char too_many[] =
"HTTP/1.1 429 Too Many Requests\r\n"
"content-type: application/json; charset=utf-8\r\n"
"content-length: 36\r\n"
"connection: close\r\n"
"\r\n"
"{\"error\":\"Too many connected users\"}";

/* max_unjoined is shared out among the listeners; max_clients counts over all. */
static bool
over_limits(void)
{
	return tally_total(COUNTER_CONNECTIONS) >= realtime_max_clients || admission_full();
}

static void
turn_away(int fd)
{
	char		heard[1024];

	if (!realtime_ssl)
		(void) send(fd, too_many, sizeof(too_many) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void) shutdown(fd, SHUT_WR);
	(void) recv(fd, heard, sizeof(heard), MSG_DONTWAIT);
	close(fd);
	tally(COUNTER_CONNECTS_REFUSED, 1);
}

/*
 * By itself the kernel gives a socket up to 4 MB, which is much memory and much copying for a client that never reads. The
 * number is doubled there for its own needs, and bounded by net.core.wmem_max.
 */
static void
limit_send_buffer(int fd)
{
	int			size = Min(realtime_client_send_buffer, INT_MAX / 1024) * 1024;

	if (size > 0)
		(void) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

/*
 * Nor does the kernel get more than this beyond what is on its way to the client. A client that never reads is found out, and
 * waits in our queue, as soon as its own buffer is full: else the buffers of many of them, filled first, would keep from
 * the others what they are owed. One that reads, near or far, has as much on its way as ever.
 */
static void
limit_unsent(int fd)
{
	int			bytes = UNSENT_MAX;

	(void) setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes));
}

/* A connection has come. */
static void
accepted(int fd, const struct sockaddr *address, socklen_t length)
{
	bool		over = over_limits();
	Connection *connection = NULL;
	char		text[64];
	int			on = 1;

	admission_took();
	if (!over || connections_unjoined() < admission_unjoined_share() + OVER_LIMIT_MAX)
	{
		if (getnameinfo(address, length, text, sizeof(text), NULL, 0, NI_NUMERICHOST) != 0)
			strlcpy(text, "?", sizeof(text));
		connection = connection_new(text);
	}
	if (connection == NULL)
	{
		turn_away(fd);
		return;
	}
	connection->over_limit = over;
	(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	limit_send_buffer(fd);
	limit_unsent(fd);
	server_adopt(connection, fd);
}

/* There are no descriptors left, say. */
static void
accept_failed(int error)
{
	ereport(LOG,
			(errmsg("realtime listener could not accept a connection: %s", strerror(error)),
			 errhint(error == EMFILE || error == ENFILE ?
					 "Raise the limit of open files, or lower realtime.max_clients." :
					 "The next attempt is made in half a second.")));
}

uint64
accept_some(int listening)
{
	int			batch = realtime_ssl ? ACCEPT_BATCH_TLS : ACCEPT_BATCH;

	for (int i = 0; i < batch; i++)
	{
		struct sockaddr_storage address;
		socklen_t	length = sizeof(address);
		int			fd;

		if (!admission_open())
			return ADMISSION_PAUSE;
		fd = accept4(listening, (struct sockaddr *) &address, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0)
			accepted(fd, (struct sockaddr *) &address, length);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
		{
			accept_failed(errno);
			return ACCEPT_PAUSE;
		}
		else if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO)
			break;
	}
	return 0;
}
