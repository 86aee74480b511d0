/*
 * topic.c
 *	  Topics and their members.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "port.h"

#include "listener/channel.h"
#include "listener/topic.h"

#define BUCKETS_MIN		1024	/* a power of two */

static Topic **buckets;
static uint32 bucket_count;
static uint32 topic_count;
static uint64 seed;				/* strangers choose the names: they must not know where those go */

/* The bucket table, at start: the only place here that may end the process. */
void
topics_init(void)
{
	buckets = calloc(BUCKETS_MIN, sizeof(Topic *));
	if (buckets == NULL || !pg_strong_random(&seed, sizeof(seed)))
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not set up the topics of a realtime listener")));
	bucket_count = BUCKETS_MIN;
}

static uint64
hash_name(Slice name, bool is_private)
{
	return hash_bytes_extended((const unsigned char *) name.data, (int) name.len, seed + (is_private ? 1 : 0));
}

static Topic *
find(Slice name, bool is_private, uint64 hash)
{
	for (Topic *topic = buckets[hash & (bucket_count - 1)]; topic != NULL; topic = topic->next)
		if (topic->hash == hash && topic->is_private == is_private && slice_equal(topic_name(topic), name))
			return topic;
	return NULL;
}

Topic *
topic_find(Slice name, bool is_private)
{
	return find(name, is_private, hash_name(name, is_private));
}

/* Double the table; without memory the chains get longer instead. */
static void
grow(void)
{
	Topic	  **larger = calloc((Size) bucket_count * 2, sizeof(Topic *));

	if (larger == NULL)
		return;
	for (uint32 i = 0; i < bucket_count; i++)
		for (Topic *topic = buckets[i], *next; topic != NULL; topic = next)
		{
			Topic	  **bucket = &larger[topic->hash & (bucket_count * 2 - 1)];

			next = topic->next;
			topic->next = *bucket;
			*bucket = topic;
		}
	free(buckets);
	buckets = larger;
	bucket_count *= 2;
}

static Topic *
make(Slice name, bool is_private, uint64 hash)
{
	Size		length = TOPIC_PREFIX.len + name.len;
	Topic	   *topic = malloc(offsetof(Topic, full) + length);
	Topic	  **bucket;

	if (topic == NULL)
		return NULL;
	memset(topic, 0, offsetof(Topic, full));
	topic->hash = hash;
	topic->is_private = is_private;
	topic->full_len = length;
	memcpy(topic->full, TOPIC_PREFIX.data, TOPIC_PREFIX.len);
	memcpy(topic->full + TOPIC_PREFIX.len, name.data, name.len);
	if (topic_count >= bucket_count)
		grow();
	bucket = &buckets[hash & (bucket_count - 1)];
	topic->next = *bucket;
	*bucket = topic;
	topic_count++;
	return topic;
}

static void
drop(Topic *topic)
{
	Topic	  **link = &buckets[topic->hash & (bucket_count - 1)];

	while (*link != topic)
		link = &(*link)->next;
	*link = topic->next;
	topic_count--;
	free(topic->members);
	free(topic);
}

bool
topic_enter(Channel *channel, Slice name, bool is_private)
{
	uint64		hash = hash_name(name, is_private);
	Topic	   *topic = find(name, is_private, hash);

	if (topic == NULL)
		topic = make(name, is_private, hash);
	if (topic == NULL)
		return false;
	if (topic->member_count == topic->member_capacity)
	{
		uint32		capacity = topic->member_capacity == 0 ? 1 : topic->member_capacity * 2;
		Channel   **members = realloc(topic->members, capacity * sizeof(Channel *));

		if (members == NULL)
		{
			if (topic->member_count == 0)
				drop(topic);
			return false;
		}
		topic->members = members;
		topic->member_capacity = capacity;
	}
	channel->topic = topic;
	channel->member_index = topic->member_count;
	topic->members[topic->member_count++] = channel;
	return true;
}

void
topic_leave(Channel *channel)
{
	Topic	   *topic = channel->topic;
	Channel    *last = topic->members[--topic->member_count];

	topic->members[channel->member_index] = last;
	last->member_index = channel->member_index;
	channel->topic = NULL;
	if (topic->member_count == 0)
		drop(topic);
}
