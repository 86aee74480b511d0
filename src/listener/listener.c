/*
 * listener.c
 *	  The worker: its start, its loop, and how it leaves.
 *
 * It sleeps in a WaitEventSet on its latch, the postmaster and one descriptor that stands for the whole libuv loop, in
 * which libwebsockets and the listening sockets live. Nothing throws while libuv runs; what may throw comes between two
 * runs. README.md has the order of a turn and the reasons for it.
 */
#include "postgres.h"

#include <poll.h>

#include <uv.h>

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "listener/asking.h"
#include "listener/broadcast.h"
#include "listener/changes.h"
#include "listener/channel.h"
#include "listener/expiry.h"
#include "listener/inspect.h"
#include "listener/keys.h"
#include "listener/limits.h"
#include "listener/listener.h"
#include "listener/output.h"
#include "listener/presence.h"
#include "listener/server.h"
#include "listener/socket.h"
#include "listener/tally.h"
#include "shared/bus.h"
#include "shared/compat.h"
#include "shared/settings.h"
#include "shared/worker.h"

/* libuv runs at most so often in a turn: libwebsockets asks for a second run after each event. */
#define UV_RUNS				2

/* Pause before addresses that could not be served are tried again, in ms. */
#define RETRY_MIN			500
#define RETRY_MAX			2000

/*
 * When the server goes, clients are told so one after the other, so many in a millisecond, but all within GOODBYE_SPREAD:
 * they come back as they were told. A few are told at once. Then they get GOODBYE_TIME to leave. In ms.
 */
#define GOODBYE_AT_ONCE		100
#define GOODBYE_PER_MS		5
#define GOODBYE_SPREAD		1000
#define GOODBYE_TIME		1000

static int	listener;
static uv_loop_t loop;
static WaitEventSet *events;
static uint64 retry_at;			/* loop clock, ms; while some address is not served */
static uint64 retry_pause;
static bool known_private_only; /* before the reload */

/* Our part of the gauges ends with us. */
static void
at_exit(int code, Datum argument)
{
	presence_listener_ends();
	tally_flush();
	tally_withdraw_gauges();
}

static void
make_wait_set(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "realtime listener", ALLOCSET_SMALL_SIZES);

	events = create_wait_event_set(context, 3);
	AddWaitEventToSet(events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(events, WL_SOCKET_READABLE, uv_backend_fd(&loop), NULL, NULL);
}

/* Everything that is there once per process. */
static void
set_up(void)
{
	connections_init();
	topics_init();
	broadcast_init(listener);
	asking_init(listener);
	changes_init(listener);
	presence_init(listener);
	limits_reloaded();
	before_shmem_exit(at_exit, (Datum) 0);
	known_private_only = realtime_private_only;
	keys_reload();
	if (uv_loop_init(&loop) != 0 || !server_start(&loop))
	{
		registry_set_state(WORKER_FAILING, "could not start libwebsockets",
						   "Install its libuv plug-in (package libwebsockets-evlib-uv).");
		ereport(FATAL,
				(errmsg("realtime listener could not start libwebsockets"),
				 errhint("Install its libuv plug-in (package libwebsockets-evlib-uv).")));
	}
	make_wait_set();
	retry_pause = RETRY_MIN;
}

/* Serve the addresses, or those that were not served so far; after a failure, later again. */
static void
open_sockets(void)
{
	(void) sockets_open(&loop, listener);
	if (sockets_incomplete())
	{
		retry_at = connection_clock() + retry_pause;
		retry_pause = Min(retry_pause * 2, RETRY_MAX);
	}
	else
		retry_at = 0;
}

/* What ends clients: keys that no longer verify their tokens, and private_only. Nothing else that is reloaded drops one. */
static void
reloaded(void)
{
	sockets_reloaded(listener);
	if (sockets_incomplete())
	{
		retry_pause = RETRY_MIN;
		retry_at = Max(connection_clock(), 1);
	}
	keys_reload();
	if (realtime_private_only && !known_private_only)
		channels_disconnect_public();
	known_private_only = realtime_private_only;
	limits_reloaded();
	connections_reloaded();
	channels_each(expiry_reloaded, NULL);
}

/* Let libuv and libwebsockets do what there is to do. Nothing throws in here. */
static void
run_sockets(void)
{
	for (int i = 0; i < UV_RUNS; i++)
	{
		uv_run(&loop, UV_RUN_NOWAIT);
		if (uv_backend_timeout(&loop) != 0)
			break;
	}
}

static int64
sooner(int64 a, int64 b)
{
	return a < 0 ? b : b < 0 ? a : Min(a, b);
}

/* How long may we sleep? 0: not at all; -1: until something happens. */
static int64
sleep_time(void)
{
	int64		wait;

	if (output_waiting() || broadcast_bus_has_news() || channels_recheck_waits() || changes_waiting())
		return 0;
	wait = sooner(uv_backend_timeout(&loop), wheel_wait(&connection_wheel, connection_clock()));
	wait = sooner(wait, sockets_wait());
	wait = sooner(wait, keys_wait());
	wait = sooner(wait, channel_subscriptions_wait());
	if (retry_at != 0)
		wait = sooner(wait, retry_at > connection_clock() ? (int64) (retry_at - connection_clock()) : 0);
	return wait;
}

/*
 * One turn without the sleep: what is on the bus goes into the queues, the queues go to the sockets, the sockets are
 * read. Writing comes before libuv runs, since what libwebsockets asks of libuv takes effect there.
 */
static void
turn(void)
{
	connection_clock_read();
	(void) broadcast_read_bus();
	asking_turn();
	changes_go_on();
	listener_inspect(listener);
	keys_turn();
	channels_recheck_turn();
	wheel_turn(&connection_wheel, connection_clock());
	sockets_resume();
	output_turn();
	run_sockets();
	channel_subscriptions_send();
	connections_recycle();
	output_keep_budget();
	tally_flush();
}

/* Tell the clients that we go, and see them off; but not for long. */
static void
say_goodbye(void)
{
	uint64		start;
	uint64		spread = 0;

	sockets_close();
	connection_clock_read();
	start = connection_clock();
	if (connections_count() > GOODBYE_AT_ONCE)
		spread = Min(connections_count() / GOODBYE_PER_MS, GOODBYE_SPREAD);
	while (connections_count() > 0 && connection_clock() < start + spread + GOODBYE_TIME)
	{
		struct pollfd fd = {.fd = uv_backend_fd(&loop), .events = POLLIN};
		uint64		passed = connection_clock() - start;
		uint64		slots = connections_slots();

		channels_say_goodbye(passed < spread ? slots * passed / spread : slots);
		turn();
		if (!output_waiting())
			(void) poll(&fd, 1, 10);
	}
}

/* The latch may stand for anything: a signal, the bus, a backend that asks, or that nobody wants us any more. */
static void
look_around(bool woken)
{
	ResetLatch(MyLatch);
	if (ProcDiePending)
		say_goodbye();
	worker_check_interrupts();
	if (worker_reload_if_asked())
		reloaded();
	if (!registry_wanted())
	{
		say_goodbye();
		worker_leave();
	}
	connection_clock_read();
	if (retry_at != 0 && (connection_clock() >= retry_at || (woken && listener > 0)))
		open_sockets();
}

void
realtime_listener_main(Datum argument)
{
	bool		woken = false;

	listener = DatumGetInt32(argument);
	worker_start(WORKER_LISTENER, listener);
	worker_wait_until_wanted();
	worker_connect(false);
	set_up();
	open_sockets();

	for (;;)
	{
		WaitEvent	happened[3];
		int			n;

		look_around(woken);
		turn();
		n = WaitEventSetWait(events, sleep_time(), happened, lengthof(happened), PG_WAIT_EXTENSION);
		woken = false;
		for (int i = 0; i < n; i++)
			woken |= (happened[i].events & WL_LATCH_SET) != 0;
	}
}
