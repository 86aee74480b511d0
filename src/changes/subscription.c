/*
 * subscription.c
 *	  Who has subscribed to what.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "access/claims_policy.h"
#include "changes/subscription.h"
#include "changes/table.h"
#include "shared/elapsed.h"
#include "shared/server_text.h"

typedef struct SubscriptionKey
{
	int32		listener;
	uint32		number;
} SubscriptionKey;

typedef struct SubscriptionSlot
{
	SubscriptionKey key;
	Subscription *subscription;
} SubscriptionSlot;

typedef struct UserSlot
{
	uint64		hash;			/* two different users with one hash are told apart by the next number */
	User	   *user;
} UserSlot;

static MemoryContext context;	/* lives as long as the process */
static HTAB *by_number;
static HTAB *users;
static dlist_head all = DLIST_STATIC_INIT(all);
static uint32 user_numbers;

void
subscriptions_init(void)
{
	HASHCTL		control = {0};

	context = AllocSetContextCreate(TopMemoryContext, "realtime subscriptions", ALLOCSET_DEFAULT_SIZES);
	control.hcxt = context;
	control.keysize = sizeof(SubscriptionKey);
	control.entrysize = sizeof(SubscriptionSlot);
	by_number = hash_create("realtime subscriptions", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	control.keysize = sizeof(uint64);
	control.entrysize = sizeof(UserSlot);
	users = hash_create("realtime subscribed users", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

dlist_head *
subscriptions(void)
{
	return &all;
}

/* -------------------------------------------------------- users ----------------------------------------------------- */

static bool
is_user(const User *user, const char *role_name, const char *claims)
{
	return strcmp(user->role_name, role_name) == 0 && strcmp(user->claims, claims) == 0;
}

static User *
make_user(uint64 hash, const char *role_name, const char *claims)
{
	MemoryContext previous = MemoryContextSwitchTo(context);
	User	   *user = palloc0(sizeof(User));

	user->hash = hash;
	user->number = ++user_numbers;
	user->role_name = pstrdup(role_name);
	user->claims = pstrdup(claims);
	MemoryContextSwitchTo(previous);
	return user;
}

static User *
get_user(const char *role_name, const char *claims)
{
	uint64		hash = hash_combine64(hash_bytes_extended((const unsigned char *) role_name, strlen(role_name), 0),
									  hash_bytes_extended((const unsigned char *) claims, strlen(claims), 0));

	for (;; hash++)
	{
		UserSlot   *slot = hash_search(users, &hash, HASH_FIND, NULL);

		if (slot == NULL)
		{
			User	   *user = make_user(hash, role_name, claims);

			slot = hash_search(users, &hash, HASH_ENTER, NULL);
			slot->user = user;
		}
		if (is_user(slot->user, role_name, claims))
		{
			slot->user->refs++;
			return slot->user;
		}
	}
}

static void
unref_user(User *user)
{
	if (--user->refs > 0)
		return;
	claims_policy_forget_user(user->number);
	hash_search(users, &user->hash, HASH_REMOVE, NULL);
	while (user->policies != NULL)
	{
		PolicySlowness *first = user->policies;

		user->policies = first->next;
		pfree(first);
	}
	pfree(user->role_name);
	pfree(user->claims);
	pfree(user);
}

Slowness *
policy_slowness(User *user, Oid table, bool make)
{
	PolicySlowness *policies = user->policies;

	while (policies != NULL && policies->table != table)
		policies = policies->next;
	if (policies == NULL && make)
	{
		policies = MemoryContextAllocZero(context, sizeof(PolicySlowness));
		policies->table = table;
		policies->next = user->policies;
		user->policies = policies;
	}
	return policies == NULL ? NULL : &policies->slowness;
}

bool
slowness_note(Slowness *slowness)
{
	TimestampTz now = GetCurrentTimestamp();

	memmove(slowness->timeouts, slowness->timeouts + 1, sizeof(TimestampTz) * (USER_TIMEOUTS - 1));
	slowness->timeouts[USER_TIMEOUTS - 1] = now;
	if (slowness->timeouts[0] == 0 || elapsed(slowness->timeouts[0], now, USER_TIMEOUT_WINDOW))
		return false;
	slowness->suspended_until = TimestampTzPlusMilliseconds(now, USER_SUSPENSION);
	return true;
}

bool
slowness_is_suspended(Slowness *slowness)
{
	if (slowness->suspended_until == 0)
		return false;
	if (!elapsed(TimestampTzPlusMilliseconds(slowness->suspended_until, -USER_SUSPENSION), GetCurrentTimestamp(), USER_SUSPENSION))
		return true;
	slowness->suspended_until = 0;
	return false;
}

/* ---------------------------------------------------- subscriptions ------------------------------------------------- */

static char *
text_of(Slice slice)
{
	return server_text(slice, "a topic or a claim");
}

Subscription *
subscription_make(const ChangeRequest *request)
{
	MemoryContext own = AllocSetContextCreate(CurrentMemoryContext, "realtime subscription", ALLOCSET_SMALL_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(own);
	Subscription *subscription = palloc0(sizeof(Subscription));
	char	   *role_name = text_of(request->role);
	char	   *claims = text_of(request->claims);

	subscription->context = own;
	subscription->listener = request->listener;
	subscription->number = request->subscription;
	subscription->connection = request->connection;
	subscription->connection_generation = request->connection_generation;
	subscription->version = request->version;
	subscription->topic = text_of(request->topic);
	subscription->user = get_user(role_name, claims);
	MemoryContextSetParent(own, context);
	pfree(role_name);
	pfree(claims);
	MemoryContextSwitchTo(previous);
	return subscription;
}

static SubscriptionSlot *
slot_of(int listener, uint32 number, HASHACTION action)
{
	SubscriptionKey key = {listener, number};
	bool		found;
	SubscriptionSlot *slot = hash_search(by_number, &key, action, &found);

	if (action == HASH_ENTER && !found)
		slot->subscription = NULL;
	return slot;
}

Subscription *
subscription_find(int listener, uint32 number)
{
	SubscriptionSlot *slot = slot_of(listener, number, HASH_FIND);

	return slot == NULL ? NULL : slot->subscription;
}

void
subscription_enter(Subscription *subscription)
{
	Subscription *old = subscription_find(subscription->listener, subscription->number);

	if (old != NULL)
	{
		subscription->from = old->from;
		subscription_drop(old);
	}
	slot_of(subscription->listener, subscription->number, HASH_ENTER)->subscription = subscription;
	dlist_push_tail(&all, &subscription->node);
	tables_add(subscription);
}

void
subscription_drop(Subscription *subscription)
{
	if (subscription_find(subscription->listener, subscription->number) == subscription)
	{
		tables_remove(subscription);
		(void) slot_of(subscription->listener, subscription->number, HASH_REMOVE);
		dlist_delete(&subscription->node);
		}
	unref_user(subscription->user);
	MemoryContextDelete(subscription->context);
}

void
subscriptions_drop_of(int listener)
{
	dlist_mutable_iter i;

	dlist_foreach_modify(i, &all)
	{
		Subscription *subscription = dlist_container(Subscription, node, i.cur);

		if (subscription->listener == listener)
			subscription_drop(subscription);
	}
}
