/*
 * hooks.c
 *	  Gets our workers out of the way of DROP DATABASE and tells the launcher about databases and extensions that come or go.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "miscadmin.h"
#include "utils/resowner.h"

#include "shared/hooks.h"
#include "shared/registry.h"
#include "shared/settings.h"
#include "shared/shmem.h"

/* How long DROP DATABASE waits for our workers to leave, in milliseconds. */
#define HOLD_TIMEOUT	5000

static object_access_hook_type previous_hook;
static bool wake_launcher;

/*
 * PostgreSQL calls the hook before it looks who is connected to the database and which slots are active in it. What it
 * says then, about other users, does not tell whose processes these are.
 */
static void
leave_database(Oid database)
{
	bool		served = OidIsValid(database) && database == registry_database();
	int			left;

	if (served)
		ereport(NOTICE,
				(errmsg("database \"%s\" is the one that realtime serves: its clients are disconnected", realtime_database),
				 errhint("To serve another database set realtime.database and restart the server.")));
	left = registry_hold(database, HOLD_TIMEOUT);
	if (left > 0)
		ereport(WARNING,
				(errmsg("%d worker processes of realtime have not left the database within %d s", left,
						HOLD_TIMEOUT / 1000),
				 errhint("Try again. If they stay, see pg_stat_activity for what they wait for, or remove realtime from "
						 "shared_preload_libraries and restart the server.")));
}

static void
on_object_access(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (previous_hook)
		previous_hook(access, class_id, object_id, sub_id, arg);
	if (!shmem_ready())
		return;

	if (access == OAT_DROP && class_id == DatabaseRelationId)
		leave_database(object_id);

	/* The launcher may wait for a database to be created, and acts on an extension that comes or goes. */
	if ((access == OAT_DROP && class_id == ExtensionRelationId) ||
		(access == OAT_POST_CREATE && (class_id == ExtensionRelationId || class_id == DatabaseRelationId)))
		wake_launcher = true;
}

static void
after_transaction(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (registry_held_by_me())
		registry_release();
}

/*
 * The launcher looks into system caches: it must not be woken before the transaction has sent its invalidations, which is
 * between the callbacks for its end and this.
 */
static void
after_release(ResourceReleasePhase phase, bool commit, bool top_level, void *arg)
{
	if (phase != RESOURCE_RELEASE_AFTER_LOCKS || !top_level || !wake_launcher)
		return;
	wake_launcher = false;
	registry_wake(WORKER_LAUNCHER, 0);
}

void
hooks_install(void)
{
	previous_hook = object_access_hook;
	object_access_hook = on_object_access;
	RegisterXactCallback(after_transaction, NULL);
	RegisterResourceReleaseCallback(after_release, NULL);
}
