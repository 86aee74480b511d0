/*
 * state.c
 *	  What realtime.workers and health() say of this listener.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "listener/state.h"
#include "shared/settings.h"

typedef struct Trouble
{
	char		detail[WORKER_DETAIL_SIZE];
	char		hint[WORKER_DETAIL_SIZE];
} Trouble;

static WorkerState sockets_state = WORKER_STARTING;
static Trouble sockets;			/* without a hint it is none */
static Trouble troubles[STATE_SOURCES];

static void
set(Trouble *trouble, const char *detail, const char *hint)
{
	strlcpy(trouble->detail, detail != NULL ? detail : "", WORKER_DETAIL_SIZE);
	strlcpy(trouble->hint, hint != NULL ? hint : "", WORKER_DETAIL_SIZE);
}

static void
append(char *text, const char *separator, const char *more)
{
	if (text[0] != '\0')
		strlcat(text, separator, WORKER_DETAIL_SIZE);
	strlcat(text, more, WORKER_DETAIL_SIZE);
}

/* All troubles one after the other; without any, what the sockets do. */
static void
publish(void)
{
	Trouble		all = {{0}};

	if (sockets.hint[0] != '\0' || sockets_state != WORKER_RUNNING)
		all = sockets;
	for (int i = 0; i < STATE_SOURCES; i++)
	{
		if (troubles[i].detail[0] == '\0')
			continue;
		append(all.detail, "; ", troubles[i].detail);
		append(all.hint, " ", troubles[i].hint);
	}
	if (all.detail[0] == '\0')
		all = sockets;
	registry_set_state(sockets_state, all.detail, all.hint[0] != '\0' ? all.hint : NULL);
}

void
state_set(WorkerState state, const char *detail, const char *hint)
{
	sockets_state = state;
	set(&sockets, detail, hint);
	publish();
}

void
state_set_trouble(StateSource source, const char *detail, const char *hint)
{
	set(&troubles[source], detail, hint);
	publish();
}

bool
state_is_first(void)
{
	WorkerInfo	info;

	return registry_get(WORKER_LISTENER, 0, &info) && info.pid == MyProcPid;
}

bool
state_known_to_sibling(const char *detail)
{
	WorkerInfo	info;

	for (int i = 0; i < realtime_listeners; i++)
		if (registry_get(WORKER_LISTENER, i, &info) && info.pid != MyProcPid && info.pid != 0 &&
			strstr(info.detail, detail) != NULL)
			return true;
	return false;
}
