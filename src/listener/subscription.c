/*
 * subscription.c
 *	  What the channels of this listener subscribe of Postgres Changes.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "listener/subscription.h"
#include "listener/tally.h"
#include "shared/change_requests.h"
#include "shared/change_stream.h"
#include "wire/json.h"
#include "wire/jwt.h"

#define BUCKETS_MIN			1024
#define BUCKETS_MAX			(1024 * 1024)

/* Requests that are sent in one turn: some milliseconds of it. */
#define SEND_BATCH			512

/* Pause while the worker has not taken what it was sent, in ms. */
#define FULL_PAUSE			10

/* What a request needs beside topic and entries, at most: whatever token the channel gets later, it will fit. */
#define REQUEST_OTHERS		(1024 + 2 * JWT_MAX_TOKEN)

static int	listener;
static uint32 numbers;
static Subscription **buckets;	/* by number, which are given out one after the other: a power of two */
static uint32 bucket_count;
static uint32 count;
static dlist_head unsent;
static bool reset_sent;			/* the worker knows that those of a process before this one are gone */
static bool ring_full;

void
channel_subscriptions_init(int index)
{
	listener = index;
	dlist_init(&unsent);
	buckets = calloc(BUCKETS_MIN, sizeof(Subscription *));
	if (buckets == NULL)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	bucket_count = BUCKETS_MIN;
}

/* Where a number is looked up. */
static Subscription **
bucket_of(uint32 number)
{
	return &buckets[number & (bucket_count - 1)];
}

/* Twice as many buckets, unless there is no memory: then the lists in them get longer. */
static void
grow(void)
{
	uint32		old_count = bucket_count;
	Subscription **old = buckets;
	Subscription **larger = bucket_count < BUCKETS_MAX ? calloc(bucket_count * 2, sizeof(Subscription *)) : NULL;

	if (larger == NULL)
		return;
	buckets = larger;
	bucket_count *= 2;
	for (uint32 i = 0; i < old_count; i++)
		while (old[i] != NULL)
		{
			Subscription *subscription = old[i];
			Subscription **bucket = bucket_of(subscription->number);

			old[i] = subscription->next;
			subscription->next = *bucket;
			*bucket = subscription;
		}
	free(old);
}

/* Also those that have ended. */
static Subscription *
find_any(uint32 number)
{
	Subscription *subscription = *bucket_of(number);

	while (subscription != NULL && subscription->number != number)
		subscription = subscription->next;
	return subscription;
}

Subscription *
channel_subscription_find(uint32 number)
{
	Subscription *subscription = find_any(number);

	return subscription == NULL || subscription->state == SUBSCRIPTION_ENDED ? NULL : subscription;
}

/* A number that no subscription has; after four billion of them they begin anew. */
static uint32
next_number(void)
{
	do
		numbers++;
	while (numbers == 0 || find_any(numbers) != NULL);
	return numbers;
}

/* It waits behind those that wait already. */
static void
send_later(Subscription *subscription)
{
	if (!subscription->to_send)
		dlist_push_tail(&unsent, &subscription->sending);
	subscription->to_send = true;
}

Subscription *
channel_subscription_new(Connection *connection, Slice topic, Slice entries, Token *token, bool legacy, bool *too_large)
{
	Subscription *subscription;
	Subscription **bucket;

	*too_large = REQUEST_OTHERS + topic.len + entries.len > CHANGE_REQUEST_MAX ||
		connection->subscribed_bytes + entries.len > SUBSCRIPTION_MAX_BYTES;
	if (*too_large)
		return NULL;
	subscription = malloc(offsetof(Subscription, bytes) + topic.len + entries.len);
	if (subscription == NULL)
		return NULL;
	memset(subscription, 0, offsetof(Subscription, bytes));
	if (count >= bucket_count)
		grow();
	subscription->number = next_number();
	subscription->version = 1;
	subscription->state = SUBSCRIPTION_ASKED;
	subscription->connection = connection;
	subscription->slot = connection->slot;
	subscription->generation = connection->generation;
	subscription->token = token_ref(token);
	subscription->since = GetCurrentTimestamp();
	subscription->legacy = legacy;
	subscription->topic_len = topic.len;
	subscription->entries_len = entries.len;
	memcpy(subscription->bytes, topic.data, topic.len);
	memcpy(subscription->bytes + topic.len, entries.data, entries.len);
	bucket = bucket_of(subscription->number);
	subscription->next = *bucket;
	*bucket = subscription;
	count++;
	connection->subscribed_bytes += entries.len;
	tally(COUNTER_SUBSCRIBED_CHANNELS, 1);
	send_later(subscription);
	return subscription;
}

void
channel_subscription_ask_again(Subscription *subscription, Token *token)
{
	if (token != NULL)
	{
		token_unref(subscription->token);
		subscription->token = token_ref(token);
	}
	if (subscription->state == SUBSCRIPTION_REFUSED)
	{
		subscription->state = SUBSCRIPTION_ASKED;
		tally(COUNTER_SUBSCRIBED_CHANNELS, 1);
	}
	subscription->version++;
	send_later(subscription);
}

void
channel_subscription_is_live(Subscription *subscription)
{
	if (subscription->state == SUBSCRIPTION_ASKED)
		subscription->state = SUBSCRIPTION_LIVE;
}

void
channel_subscription_is_refused(Subscription *subscription)
{
	if (subscription->state != SUBSCRIPTION_REFUSED)
		tally(COUNTER_SUBSCRIBED_CHANNELS, -1);
	subscription->state = SUBSCRIPTION_REFUSED;
}

/* Take it out of the table. */
static void
free_subscription(Subscription *subscription)
{
	Subscription **link = bucket_of(subscription->number);

	while (*link != subscription)
		link = &(*link)->next;
	*link = subscription->next;
	count--;
	free(subscription);
}

/* The worker is told only if it may know of it. */
void
channel_subscription_end(Subscription *subscription)
{
	bool		known = subscription->sent && subscription->state != SUBSCRIPTION_REFUSED;

	if (subscription->state != SUBSCRIPTION_REFUSED)
		tally(COUNTER_SUBSCRIBED_CHANNELS, -1);
	subscription->connection->subscribed_bytes -= subscription->entries_len;
	if (subscription->channel != NULL)
		subscription->channel->subscription = NULL;
	if (subscription->ready)
		dlist_delete(&subscription->going_on);
	while (subscription->early != NULL)
	{
		EarlyFrame *early = subscription->early;

		subscription->early = early->next;
		frame_unref(early->frame);
		free(early);
	}
	wheel_cancel(&subscription->timer);
	token_unref(subscription->token);
	free(subscription->text);
	subscription->token = NULL;
	subscription->text = NULL;
	subscription->ready = false;
	subscription->connection = NULL;
	subscription->channel = NULL;
	subscription->asking = NULL;
	subscription->state = SUBSCRIPTION_ENDED;
	if (known)
	{
		send_later(subscription);
		return;
	}
	if (subscription->to_send)
		dlist_delete(&subscription->sending);
	free_subscription(subscription);
}

void
channel_subscriptions_each(void (*function) (Subscription *subscription, void *arg), void *arg)
{
	for (uint32 i = 0; i < bucket_count; i++)
		for (Subscription *subscription = buckets[i]; subscription != NULL; subscription = subscription->next)
			if (subscription->state != SUBSCRIPTION_ENDED)
				function(subscription, arg);
}

/* What was refused was not forgotten for want of a worker. */
static void
ask_again(Subscription *subscription, void *arg)
{
	if (subscription->state != SUBSCRIPTION_REFUSED)
		channel_subscription_ask_again(subscription, NULL);
}

void
channel_subscriptions_ask_all(void)
{
	channel_subscriptions_each(ask_again, NULL);
}

/* False: the ring is full. */
static bool
send_reset(void)
{
	ChangeRequest request = {.kind = CHANGE_REQUEST_RESET,.listener = listener};
	bool		too_large;

	return change_request_put(&request, &too_large);
}

/* A role that is no text is asked for as its JSON stands, as the reference does: the worker then says that there is none. */
static Slice
role_of(const Token *token, Slice claims)
{
	Slice		role;

	if (token->has_role || !wjson_member(claims, SLICE_LITERAL("role"), &role))
		return token_role(token);
	return role;
}

/* Likewise. */
static bool
send_one(Subscription *subscription)
{
	ChangeRequest request = {
		.kind = CHANGE_REQUEST_UNSUBSCRIBE,
		.listener = listener,
		.connection = subscription->slot,
		.connection_generation = subscription->generation,
		.subscription = subscription->number,
		.version = subscription->version
	};
	bool		too_large;

	if (subscription->state != SUBSCRIPTION_ENDED)
	{
		request.kind = CHANGE_REQUEST_SUBSCRIBE;
		request.topic = channel_subscription_topic(subscription);
		request.claims = token_claims(subscription->token);
		request.role = role_of(subscription->token, request.claims);
		request.entries = channel_subscription_entries(subscription);
	}
	return change_request_put(&request, &too_large);
}

void
channel_subscriptions_send(void)
{
	int			sent = 0;

	if (!reset_sent)
		reset_sent = send_reset();
	ring_full = !reset_sent;
	while (!ring_full && !dlist_is_empty(&unsent) && sent < SEND_BATCH)
	{
		Subscription *subscription = dlist_head_element(Subscription, sending, &unsent);

		ring_full = !send_one(subscription);
		if (ring_full)
			break;
		sent++;
		dlist_delete(&subscription->sending);
		subscription->to_send = false;
		subscription->sent = true;
		if (subscription->state == SUBSCRIPTION_ENDED)
			free_subscription(subscription);
	}
	if (sent > 0)
		change_stream_note_subscription();
}

int64
channel_subscriptions_wait(void)
{
	if (reset_sent && dlist_is_empty(&unsent))
		return -1;
	return ring_full ? FULL_PAUSE : 0;
}
