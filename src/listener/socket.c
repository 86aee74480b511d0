/*
 * socket.c
 *	  The listening sockets.
 *
 * Every listener binds the same addresses with SO_REUSEPORT, and the kernel spreads new connections over them. That
 * option would also let another server of the same user share our port without a word, so the first listener tries to
 * bind without it; the others wait until one of them has the port.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uv.h>

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "listener/accept.h"
#include "listener/certificate.h"
#include "listener/connection.h"
#include "listener/socket.h"
#include "listener/state.h"
#include "shared/registry.h"
#include "shared/settings.h"

#define MAX_SOCKETS			32
#define BACKLOG				4096	/* the kernel has a limit of its own */

typedef struct Socket
{
	int			fd;
	char		name[64];		/* address and port */
	struct sockaddr_storage address;
	uv_poll_t  *poll;			/* malloc'ed: libuv lets go of it only in the turn after uv_close */
} Socket;

/* What went wrong, for the log and for realtime.workers; the last thing wins. */
typedef struct Trouble
{
	bool		any;
	char		detail[WORKER_DETAIL_SIZE];
	char		hint[WORKER_DETAIL_SIZE];
} Trouble;

static Socket sockets[MAX_SOCKETS];
static int	socket_count;
static bool incomplete;
static uint64 paused_until;		/* loop clock, ms; 0: accepting */
static Trouble logged;
static CertificateFault certificate_fault;	/* empty: none */

static void set_trouble(Trouble *trouble, const char *hint, const char *format,...) pg_attribute_printf(3, 4);

static void
set_trouble(Trouble *trouble, const char *hint, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(trouble->detail, sizeof(trouble->detail), format, args);
	va_end(args);
	strlcpy(trouble->hint, hint, sizeof(trouble->hint));
	trouble->any = true;
}

/* "127.0.0.1:4000", "[::1]:4000" */
static void
format_address(const struct sockaddr *address, socklen_t length, char *text, size_t size)
{
	char		host[INET6_ADDRSTRLEN + 16] = "";
	char		port[8] = "";

	if (getnameinfo(address, length, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		strlcpy(host, "?", sizeof(host));
	if (address->sa_family == AF_INET6)
		snprintf(text, size, "[%s]:%s", host, port);
	else
		snprintf(text, size, "%s:%s", host, port);
}

static bool
already_open(const struct sockaddr *address, socklen_t length)
{
	for (int i = 0; i < socket_count; i++)
		if (memcmp(&sockets[i].address, address, length) == 0)
			return true;
	return false;
}

static int
bound_socket(const struct addrinfo *info, bool reuse_port)
{
	int			on = 1;
	int			fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		(reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0) ||
		(info->ai_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
		bind(fd, info->ai_addr, info->ai_addrlen) < 0)
	{
		int			save_errno = errno;

		close(fd);
		errno = save_errno;
		return -1;
	}
	return fd;
}

/* Does another listener of this server have the port? */
static bool
sibling_runs(int listener)
{
	WorkerInfo	info;

	for (int i = 0; i < realtime_listeners; i++)
		if (i != listener && registry_get(WORKER_LISTENER, i, &info) && info.pid != 0 &&
			info.state == WORKER_RUNNING)
			return true;
	return false;
}

/* Nobody else, not even another server of this user, may have the address. */
static bool
address_is_free(const struct addrinfo *info)
{
	int			fd = bound_socket(info, false);

	if (fd < 0)
		return false;
	if (listen(fd, 1) < 0)
	{
		int			save_errno = errno;

		close(fd);
		errno = save_errno;
		return false;
	}
	close(fd);
	return true;
}

static void readable(uv_poll_t *poll, int status, int events);

/* Listen on one address. False: errno says why not. */
static bool
open_address(uv_loop_t *loop, int listener, const struct addrinfo *info)
{
	Socket	   *new_socket = &sockets[socket_count];
	int			fd;

	if (already_open(info->ai_addr, info->ai_addrlen))
		return true;
	if (socket_count == MAX_SOCKETS)
	{
		errno = EMFILE;
		return false;
	}
	if (!sibling_runs(listener) && !address_is_free(info))
		return false;
	fd = bound_socket(info, true);
	if (fd < 0)
		return false;
	new_socket->poll = malloc(sizeof(uv_poll_t));
	if (new_socket->poll == NULL || listen(fd, BACKLOG) < 0 || uv_poll_init(loop, new_socket->poll, fd) != 0)
	{
		int			save_errno = errno;

		free(new_socket->poll);
		close(fd);
		errno = save_errno;
		return false;
	}
	new_socket->fd = fd;
	new_socket->poll->data = new_socket;
	memset(&new_socket->address, 0, sizeof(new_socket->address));
	memcpy(&new_socket->address, info->ai_addr, info->ai_addrlen);
	format_address(info->ai_addr, info->ai_addrlen, new_socket->name, sizeof(new_socket->name));
	uv_poll_start(new_socket->poll, UV_READABLE, readable);
	socket_count++;
	return true;
}

static const char *
hint_for(int error)
{
	switch (error)
	{
		case EADDRINUSE:
			return "Is another server running on that port? Choose another one with realtime.port.";
		case EADDRNOTAVAIL:
			return "No network interface of this host has that address: correct realtime.listen_addresses.";
		case EACCES:
			return "Ports below 1024 need a privilege. Choose another one with realtime.port.";
		default:
			return "Check realtime.listen_addresses and realtime.port.";
	}
}

/*
 * All addresses of one entry of the setting. A name may stand for several, of which some may not exist here (IPv6 very
 * often): it counts as served if one of them is. serving: this is another attempt, and clients are served meanwhile.
 */
static void
open_entry(uv_loop_t *loop, int listener, const char *entry, bool serving, Trouble *trouble)
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
	struct addrinfo *list;
	char		port[12];
	char		name[128];
	bool		served = false;
	int			error = 0;
	int			result;

	/* asking for a name may take seconds, which clients that are served already must not wait */
	if (serving)
		hints.ai_flags |= AI_NUMERICHOST;
	snprintf(port, sizeof(port), "%d", realtime_port);
	result = getaddrinfo(strcmp(entry, "*") == 0 ? NULL : entry, port, &hints, &list);
	if (result != 0 && serving)
	{
		*trouble = logged;
		return;
	}
	if (result != 0)
	{
		set_trouble(trouble, "Correct realtime.listen_addresses.", "could not resolve listen address \"%.100s\": %s",
					entry, gai_strerror(result));
		return;
	}
	for (struct addrinfo *info = list; info != NULL; info = info->ai_next)
	{
		if (info->ai_family != AF_INET && info->ai_family != AF_INET6)
			continue;
		if (open_address(loop, listener, info))
			served = true;
		else if (error == 0 || (error != EADDRINUSE && errno == EADDRINUSE))
		{
			error = errno;
			format_address(info->ai_addr, info->ai_addrlen, name, sizeof(name));
		}
	}
	freeaddrinfo(list);
	if (error == EADDRINUSE || (!served && error != 0))
		set_trouble(trouble, hint_for(error), "could not listen on %s: %s", name, strerror(error));
	else if (!served)
		set_trouble(trouble, "Correct realtime.listen_addresses.", "listen address \"%.100s\" is no TCP address", entry);
}

/* Which addresses are served, for realtime.workers. */
static void
describe_sockets(char *text, size_t size)
{
	size_t		used = snprintf(text, size, "listening on ");

	for (int i = 0; i < socket_count && used < size; i++)
		used += snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "", sockets[i].name);
	if (realtime_ssl && used < size)
		snprintf(text + used, size - used, " with TLS");
}

/*
 * Read the certificate. Each listener does, and the first logs what is wrong: after each reload, and while it tries
 * again by itself, when it has changed.
 */
static void
load_certificate(int listener, bool reloaded)
{
	CertificateFault fault = {0};
	bool		loaded = certificate_load(&fault);

	if (!loaded && (reloaded || strcmp(fault.detail, certificate_fault.detail) != 0))
		ereport(listener == 0 ? LOG : DEBUG1,
				(errmsg("realtime listener: %s", fault.detail),
				 errdetail("%s", certificate_context() != NULL ?
						   "The certificate that was loaded before stays in use." :
						   "Connections are refused until a certificate can be loaded."),
				 errhint("%s", fault.hint)));
	certificate_fault = fault;
}

/*
 * For realtime.workers and health(). True: connections can be served, without TLS if that is off; what is wrong with the
 * files while an older certificate is in use is told beside the addresses.
 */
static bool
publish_certificate(void)
{
	char		detail[WORKER_DETAIL_SIZE];
	bool		usable = !realtime_ssl || certificate_context() != NULL;

	snprintf(detail, sizeof(detail), "the old certificate stays in use: %s", certificate_fault.detail);
	if (usable && certificate_fault.detail[0] != '\0')
		state_set_trouble(STATE_TLS, detail, certificate_fault.hint);
	else
		state_set_trouble(STATE_TLS, NULL, NULL);
	if (!usable)
		state_set(WORKER_FAILING, certificate_fault.detail, certificate_fault.hint);
	return usable;
}

/* Have a certificate if one is needed. False: there is none, and nobody is served. */
static bool
certificate_ready(int listener)
{
	if (realtime_ssl && (certificate_context() == NULL || certificate_fault.detail[0] != '\0'))
		load_certificate(listener, false);
	return publish_certificate();
}

/* Has a listener before us met the same trouble, and logged it? */
static bool
known_to_sibling(int listener, const Trouble *trouble)
{
	WorkerInfo	info;

	for (int i = 0; i < listener; i++)
		if (registry_get(WORKER_LISTENER, i, &info) && strstr(info.detail, trouble->detail) != NULL)
			return true;
	return false;
}

/* One clear line, not repeated while nothing changes, nor by each listener. */
static void
log_trouble(int listener, const Trouble *trouble)
{
	if (trouble->any && strcmp(trouble->detail, logged.detail) != 0 && !known_to_sibling(listener, trouble))
		ereport(LOG,
				(errmsg("realtime listener: %s", trouble->detail),
				 errhint("%s", trouble->hint)));
	logged = *trouble;
}

/* For realtime.workers and health(): the addresses that are served, or what is wrong with others. */
static void
publish_state(const Trouble *trouble)
{
	char		served[WORKER_DETAIL_SIZE];

	describe_sockets(served, sizeof(served));
	if (socket_count == 0)
		state_set(WORKER_FAILING, trouble->detail, trouble->hint);
	else
		state_set(WORKER_RUNNING, trouble->any ? trouble->detail : served, trouble->any ? trouble->hint : NULL);
}

static void
report(int listener, const Trouble *trouble)
{
	char		served[WORKER_DETAIL_SIZE];

	log_trouble(listener, trouble);
	publish_state(trouble);
	if (socket_count == 0)
		return;
	describe_sockets(served, sizeof(served));
	ereport(trouble->any ? DEBUG1 : LOG, (errmsg_internal("realtime listener: %s", served)));
}

bool
sockets_open(uv_loop_t *loop, int listener)
{
	MemoryContext context;
	MemoryContext old_context;
	Trouble		trouble = {0};
	bool		serving = socket_count > 0;
	List	   *entries;
	ListCell   *cell;

	if (!certificate_ready(listener))
	{
		incomplete = true;
		return false;
	}

	/* the first listener finds out whether the port is free */
	if (listener > 0 && !sibling_runs(listener))
	{
		incomplete = true;
		state_set(WORKER_STARTING, "waiting for the first listener to have the port", NULL);
		return false;
	}

	context = AllocSetContextCreate(CurrentMemoryContext, "realtime listen addresses", ALLOCSET_SMALL_SIZES);
	old_context = MemoryContextSwitchTo(context);
	if (!SplitGUCList(pstrdup(realtime_listen_addresses), ',', &entries))
		set_trouble(&trouble, "Correct realtime.listen_addresses.", "invalid list syntax in realtime.listen_addresses");
	else if (entries == NIL)
		set_trouble(&trouble, "Set it to an address, a host name or '*'.", "realtime.listen_addresses is empty");
	else
		foreach(cell, entries)
			open_entry(loop, listener, (char *) lfirst(cell), serving, &trouble);
	MemoryContextSwitchTo(old_context);
	MemoryContextDelete(context);

	incomplete = trouble.any;
	report(listener, &trouble);
	if (socket_count > 0)
		for (int i = 0; i < realtime_listeners; i++)
			if (i != listener)
				registry_wake(WORKER_LISTENER, i);
	return socket_count > 0;
}

bool
sockets_incomplete(void)
{
	return incomplete || (realtime_ssl && certificate_fault.detail[0] != '\0');
}

/* A certificate may have been renewed under the name that it had, so it is read whatever was reloaded. */
void
sockets_reloaded(int listener)
{
	if (realtime_ssl)
		load_certificate(listener, true);
	else
	{
		certificate_forget();
		certificate_fault = (CertificateFault) {0};
	}
	if (!publish_certificate())
	{
		sockets_close();
		incomplete = true;
	}
	else if (socket_count > 0)
		publish_state(&logged);
}

static void
free_poll(uv_handle_t *handle)
{
	free(handle);
}

void
sockets_close(void)
{
	for (int i = 0; i < socket_count; i++)
	{
		uv_close((uv_handle_t *) sockets[i].poll, free_poll);
		close(sockets[i].fd);
	}
	socket_count = 0;
}

/* A socket that stays readable must not keep the loop busy. */
static void
stop_accepting(uint64 pause)
{
	for (int i = 0; i < socket_count; i++)
		uv_poll_stop(sockets[i].poll);
	paused_until = connection_clock() + pause;
}

/* What is started first is looked at first, and may use up all that may be let in: each address is first in its turn. */
void
sockets_resume(void)
{
	static unsigned first;

	if (paused_until == 0 || connection_clock() < paused_until)
		return;
	paused_until = 0;
	first++;
	for (int i = 0; i < socket_count; i++)
		uv_poll_start(sockets[(first + i) % socket_count].poll, UV_READABLE, readable);
}

int64
sockets_wait(void)
{
	if (paused_until == 0)
		return -1;
	return paused_until > connection_clock() ? (int64) (paused_until - connection_clock()) : 0;
}

/* uv: connections wait at a listening socket. Those that are not taken keep it readable for the next turn. */
static void
readable(uv_poll_t *poll, int status, int events)
{
	Socket	   *from = poll->data;
	uint64		pause = paused_until == 0 ? accept_some(from->fd) : 0;

	if (pause > 0)
		stop_accepting(pause);
}
