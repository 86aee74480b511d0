/*
 * presence_state.c
 *	  Who is present where.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "port.h"

#include "listener/presence_state.h"

#define BUCKETS			4096	/* a power of two */

static PresenceTopic *buckets[BUCKETS];
static PresenceTopic *changed_topics;
static PresenceAnnounce announce_diff;
static uint64 seed;
static uint32 total;

void
presence_state_init(PresenceAnnounce announce)
{
	announce_diff = announce;
	if (!pg_strong_random(&seed, sizeof(seed)))
		ereport(FATAL,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
}

/* ------------------------------------------------- topics and entries ----------------------------------------------- */

static PresenceTopic **
bucket_of(Slice name, bool is_private)
{
	return &buckets[hash_bytes_extended((const unsigned char *) name.data, (int) name.len,
										seed + (is_private ? 1 : 0)) & (BUCKETS - 1)];
}

static PresenceTopic *
find_topic(Slice name, bool is_private)
{
	for (PresenceTopic *topic = *bucket_of(name, is_private); topic != NULL; topic = topic->next)
		if (topic->is_private == is_private && slice_equal(presence_topic_name(topic), name))
			return topic;
	return NULL;
}

static PresenceTopic *
make_topic(Slice name, bool is_private)
{
	PresenceTopic **bucket = bucket_of(name, is_private);
	PresenceTopic *topic = calloc(1, offsetof(PresenceTopic, name) + name.len);

	if (topic == NULL)
		return NULL;
	topic->is_private = is_private;
	topic->name_len = name.len;
	memcpy(topic->name, name.data, name.len);
	topic->next = *bucket;
	*bucket = topic;
	return topic;
}

/* A topic without entries is of no use to anybody. */
static void
drop_topic_if_empty(PresenceTopic *topic)
{
	PresenceTopic **link = bucket_of(presence_topic_name(topic), topic->is_private);

	if (topic->entries != NULL || topic->changed)
		return;
	while (*link != topic)
		link = &(*link)->next;
	*link = topic->next;
	free(topic);
}

/* The entry of this owner that has not left. */
static PresenceEntry *
find_entry(PresenceTopic *topic, PresenceOwner owner)
{
	for (PresenceEntry *entry = topic->entries; entry != NULL; entry = entry->next)
		if (entry->meta.data != NULL && presence_same_owner(entry->owner, owner))
			return entry;
	return NULL;
}

/* An order of owners that is the same in every listener. */
static bool
comes_before(const PresenceEntry *a, const PresenceEntry *b)
{
	if (a->since != b->since)
		return a->since < b->since;
	if (a->owner.listener != b->owner.listener)
		return a->owner.listener < b->owner.listener;
	return a->owner.channel < b->owner.channel;
}

/* Has this owner left, and the members have not been told? */
static bool
is_leaving(PresenceTopic *topic, PresenceOwner owner)
{
	if (!topic->changed)
		return false;
	for (PresenceEntry *entry = topic->entries; entry != NULL; entry = entry->next)
		if (entry->meta.data == NULL && presence_same_owner(entry->owner, owner))
			return true;
	return false;
}

/* The oldest of this key: the order of the list depends on when this listener started, what is taken over must not. */
static PresenceEntry *
find_lingering(PresenceTopic *topic, Slice key)
{
	PresenceEntry *found = NULL;

	for (PresenceEntry *entry = topic->entries; entry != NULL; entry = entry->next)
		if (entry->lingers && entry->meta.data != NULL && slice_equal(entry->key, key) &&
			(found == NULL || comes_before(entry, found)))
			found = entry;
	return found;
}

static Slice
copy(Slice from)
{
	char	   *to = malloc(Max(from.len, 1));

	if (to != NULL && from.len > 0)
		memcpy(to, from.data, from.len);
	return slice_make(to, to == NULL ? 0 : from.len);
}

static void
release(Slice *slice)
{
	free((char *) slice->data);
	*slice = SLICE_EMPTY;
}

/* The meta may be shared with what is announced. */
static void
release_meta(PresenceEntry *entry)
{
	if (entry->meta.data == entry->announced.data)
		entry->meta = SLICE_EMPTY;
	else
		release(&entry->meta);
}

static PresenceEntry *
make_entry(PresenceTopic *topic, PresenceOwner owner, Slice key, TimestampTz since)
{
	PresenceEntry *entry = calloc(1, sizeof(PresenceEntry));

	if (entry == NULL)
		return NULL;
	entry->key = copy(key);
	if (entry->key.data == NULL)
	{
		free(entry);
		return NULL;
	}
	entry->topic = topic;
	entry->owner = owner;
	entry->since = since;
	entry->next = topic->entries;
	topic->entries = entry;
	topic->count++;
	total++;
	return entry;
}

static void
free_entry(PresenceEntry *entry)
{
	PresenceEntry **link = &entry->topic->entries;

	while (*link != entry)
		link = &(*link)->next;
	*link = entry->next;
	entry->topic->count--;
	total--;
	release(&entry->key);
	release_meta(entry);
	release(&entry->announced);
	free(entry);
}

/* ------------------------------------------------------ changes ----------------------------------------------------- */

static void flush_topic(PresenceTopic *topic);

/* The entry is about to change; if it has changed already since the last flush, that is told first. */
static void
about_to_change(PresenceEntry *entry)
{
	PresenceTopic *topic = entry->topic;

	if (entry->changed)
		flush_topic(topic);
	entry->changed = true;
	if (topic->changed)
		return;
	topic->changed = true;
	topic->next_changed = changed_topics;
	changed_topics = topic;
}

static void
leave(PresenceEntry *entry)
{
	about_to_change(entry);
	release_meta(entry);
	entry->lingers = false;
}

bool
presence_state_track(Slice name, bool is_private, PresenceOwner owner, uint64 serial, Slice key, Slice meta,
					 TimestampTz since)
{
	PresenceTopic *topic = find_topic(name, is_private);
	PresenceEntry *entry;
	Slice		copied;

	if (topic == NULL)
		topic = make_topic(name, is_private);
	if (topic == NULL)
		return false;
	entry = find_entry(topic, owner);
	if (entry == NULL)
		entry = find_lingering(topic, key);
	if (entry != NULL)
	{
		entry->confirmed = true;
		if (presence_same_owner(entry->owner, owner) && slice_equal(entry->meta, meta))
			return true;
	}
	if (entry == NULL && is_leaving(topic, owner))
		flush_topic(topic);
	copied = copy(meta);
	if (entry == NULL && copied.data != NULL)
		entry = make_entry(topic, owner, key, since);
	if (entry == NULL || copied.data == NULL)
	{
		free((char *) copied.data);
		drop_topic_if_empty(topic);
		return false;
	}
	about_to_change(entry);
	release_meta(entry);
	entry->meta = copied;
	entry->owner = owner;
	entry->serial = serial;
	entry->since = since;
	entry->lingers = false;
	entry->confirmed = true;
	return true;
}

void
presence_state_untrack(Slice name, bool is_private, PresenceOwner owner)
{
	PresenceTopic *topic = find_topic(name, is_private);
	PresenceEntry *entry = topic == NULL ? NULL : find_entry(topic, owner);

	if (entry != NULL)
		leave(entry);
}

void
presence_state_linger(Slice name, bool is_private, PresenceOwner owner)
{
	PresenceTopic *topic = find_topic(name, is_private);
	PresenceEntry *entry = topic == NULL ? NULL : find_entry(topic, owner);

	if (entry != NULL)
		entry->lingers = true;
}

/* Call for each entry that has not left. */
static void
each_entry(void (*function) (PresenceEntry *entry, int argument), int argument)
{
	for (int i = 0; i < BUCKETS; i++)
		for (PresenceTopic *topic = buckets[i]; topic != NULL; topic = topic->next)
			for (PresenceEntry *entry = topic->entries, *next; entry != NULL; entry = next)
			{
				next = entry->next;
				if (entry->meta.data != NULL)
					function(entry, argument);
			}
}

static void
leave_with_listener(PresenceEntry *entry, int listener)
{
	if (entry->owner.listener == listener && !entry->changed)
		leave(entry);
}

static void
doubt(PresenceEntry *entry, int own_listener)
{
	entry->confirmed = entry->owner.listener == own_listener;
}

static void
leave_if_doubtful(PresenceEntry *entry, int unused)
{
	if (!entry->confirmed && !entry->changed)
		leave(entry);
}

/* What has changed is told first, so that no entry is in the middle of a change and the lists stay as they are. */
void
presence_state_drop_listener(int listener)
{
	presence_state_flush();
	each_entry(leave_with_listener, listener);
	presence_state_flush();
}

void
presence_state_doubt(int own_listener)
{
	each_entry(doubt, own_listener);
}

void
presence_state_drop_doubtful(void)
{
	presence_state_flush();
	each_entry(leave_if_doubtful, 0);
	presence_state_flush();
}

/* ------------------------------------------------------- telling ---------------------------------------------------- */

typedef struct Line
{
	const PresenceEntry *entry;
	Slice		meta;
} Line;

static Line *lines;
static uint32 line_count;
static uint32 line_capacity;

/* False: no memory. */
static bool
add_line(const PresenceEntry *entry, Slice meta)
{
	if (line_count == line_capacity)
	{
		uint32		capacity = line_capacity == 0 ? 64 : line_capacity * 2;
		Line	   *larger = realloc(lines, capacity * sizeof(Line));

		if (larger == NULL)
			return false;
		lines = larger;
		line_capacity = capacity;
	}
	lines[line_count++] = (Line) {entry, meta};
	return true;
}

static int
compare_keys(const void *a, const void *b)
{
	Slice		left = ((const Line *) a)->entry->key;
	Slice		right = ((const Line *) b)->entry->key;
	int			order = memcmp(left.data, right.data, Min(left.len, right.len));

	return order != 0 ? order : left.len < right.len ? -1 : left.len > right.len;
}

/* {KEY:{"metas":[META, ...]}, ...}; the lines are sorted by their keys. */
static void
write_lines(Writer *w)
{
	writer_char(w, '{');
	for (uint32 i = 0; i < line_count; i++)
	{
		if (i > 0 && slice_equal(lines[i].entry->key, lines[i - 1].entry->key))
			writer_char(w, ',');
		else
		{
			if (i > 0)
				writer_literal(w, "]},");
			writer_json_string(w, lines[i].entry->key);
			writer_literal(w, ":{\"metas\":[");
		}
		writer_slice(w, lines[i].meta);
	}
	if (line_count > 0)
		writer_literal(w, "]}");
	writer_char(w, '}');
}

static void
sort_lines(void)
{
	qsort(lines, line_count, sizeof(Line), compare_keys);
}

/* The entries that have come, or those that have gone, of a topic. */
static void
write_changes(Writer *w, const PresenceTopic *topic, bool joins)
{
	line_count = 0;
	for (const PresenceEntry *entry = topic->entries; entry != NULL; entry = entry->next)
	{
		Slice		meta = joins ? entry->meta : entry->announced;

		if (entry->changed && meta.data != NULL && !add_line(entry, meta))
			w->failed = true;
	}
	sort_lines();
	write_lines(w);
}

static void
write_diff(Writer *w, const PresenceTopic *topic)
{
	writer_literal(w, "{\"joins\":");
	write_changes(w, topic, true);
	writer_literal(w, ",\"leaves\":");
	write_changes(w, topic, false);
	writer_char(w, '}');
}

/* What is true becomes what the members know. */
static void
settle(PresenceTopic *topic)
{
	for (PresenceEntry *entry = topic->entries, *next; entry != NULL; entry = next)
	{
		next = entry->next;
		if (!entry->changed)
			continue;
		entry->changed = false;
		if (entry->announced.data != entry->meta.data)
			release(&entry->announced);
		if (entry->meta.data == NULL)
			free_entry(entry);
		else
			entry->announced = entry->meta;
	}
}

/* Tell the members of one topic. It stays on the list of changed topics. */
static void
flush_topic(PresenceTopic *topic)
{
	Writer		measure = writer_measuring();
	Writer		w;
	char	   *text;

	write_diff(&measure, topic);
	text = malloc(measure.len);
	w = writer_fixed(text, text == NULL ? 0 : measure.len);
	write_diff(&w, topic);
	announce_diff(topic, w.failed || measure.failed ? SLICE_EMPTY : writer_written(&w));
	free(text);
	settle(topic);
}

void
presence_state_flush(void)
{
	while (changed_topics != NULL)
	{
		PresenceTopic *topic = changed_topics;

		changed_topics = topic->next_changed;
		topic->changed = false;
		flush_topic(topic);
		drop_topic_if_empty(topic);
	}
}

void
presence_state_write(Writer *w, Slice name, bool is_private)
{
	PresenceTopic *topic = find_topic(name, is_private);

	line_count = 0;
	for (PresenceEntry *entry = topic == NULL ? NULL : topic->entries; entry != NULL; entry = entry->next)
		if (entry->announced.data != NULL && !add_line(entry, entry->announced))
			w->failed = true;
	sort_lines();
	write_lines(w);
}

uint32
presence_state_count(Slice name, bool is_private)
{
	PresenceTopic *topic = find_topic(name, is_private);

	return topic == NULL ? 0 : topic->count;
}

uint32
presence_state_total(void)
{
	return total;
}

const PresenceEntry *
presence_state_lingering(Slice name, bool is_private, Slice key)
{
	PresenceTopic *topic = find_topic(name, is_private);

	return topic == NULL ? NULL : find_lingering(topic, key);
}

uint32
presence_state_buckets(void)
{
	return BUCKETS;
}

PresenceTopic *
presence_state_bucket(uint32 number)
{
	return buckets[number];
}
