/*
 * receivers.c
 *	  Who gets a change in which form.
 *
 * Each match is a hit. Sorted by form, listener and subscription, the hits of one subscription lie together: their ids are what one
 * message carries. Sorted again by ids, subscriptions with equal ids lie together: their frames are the same but for the topic.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "changes/change_data.h"
#include "changes/outbox.h"
#include "changes/receivers.h"
#include "shared/counters.h"

/* Receivers of one record on the bus: more become several records. */
#define RECEIVERS_PER_RECORD	4096

typedef struct Hit
{
	int			shape;
	Subscription *subscription;
	uint32		id;
} Hit;

/* One message for one subscription. */
typedef struct Message
{
	int			shape;
	int			listener;
	int			id_count;
	int			first_hit;
	Subscription *subscription;
} Message;

static const ChangeRecord *record;
static bool key_only_old;
static bool too_large;
static Hit *hits;
static int	hit_count;
static int	hit_capacity;
static Shape *shapes;
static int	shape_count;
static int	shape_capacity;

void
receivers_begin(const ChangeRecord *change, bool only_key, bool large)
{
	record = change;
	key_only_old = only_key;
	too_large = large;
	hit_count = 0;
	hit_capacity = 64;
	hits = palloc(sizeof(Hit) * hit_capacity);
	shape_count = 0;
	shape_capacity = 8;
	shapes = palloc(sizeof(Shape) * shape_capacity);
}

static bool
is_shape(const Shape *shape, const Entry *entry, const RoleView *view, const char *error)
{
	if (shape->error != error)
		return false;
	if (error != NULL)
		return true;
	return shape->view == view &&
		(shape->select_key == entry->select_key ||
		 (shape->select_key != NULL && entry->select_key != NULL && strcmp(shape->select_key, entry->select_key) == 0));
}

/* Most hits have the form of the hit before. */
static int
shape_of(const Entry *entry, const RoleView *view, const char *error)
{
	for (int i = shape_count - 1; i >= 0; i--)
		if (is_shape(&shapes[i], entry, view, error))
			return i;
	if (shape_count == shape_capacity)
	{
		shape_capacity *= 2;
		shapes = repalloc(shapes, sizeof(Shape) * shape_capacity);
	}
	shapes[shape_count] = (Shape) {view, entry->select_key, entry, error};
	return shape_count++;
}

void
receivers_add(Subscription *subscription, const Entry *entry, const RoleView *view, const char *error)
{
	if (hit_count == hit_capacity)
	{
		hit_capacity *= 2;
		hits = repalloc_huge(hits, sizeof(Hit) * hit_capacity);
	}
	hits[hit_count++] = (Hit) {shape_of(entry, view, error), subscription, entry->id};
}

int
receivers_count(void)
{
	return hit_count;
}

void
receivers_cut(int count)
{
	hit_count = count;
}

/* ------------------------------------------------------- the form -------------------------------------------------- */

static bool
is_selected(const Entry *entry, Slice name)
{
	for (int i = 0; i < entry->what.select_count; i++)
		if (slice_equal(entry->select[i], name))
			return true;
	return false;
}

static bool
is_readable(const RoleView *view, int attnum)
{
	return view->whole || bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, view->columns);
}

/* Columns that the role may read, and of those the selected ones and the key. */
static void
write_row(StringInfo out, const Shape *shape)
{
	bool	   *shown = palloc(sizeof(bool) * Max(record->column_count, 1));

	for (int i = 0; i < record->column_count; i++)
	{
		const ChangeColumn *column = &record->columns[i];

		shown[i] = is_readable(shape->view, column->attnum) &&
			(shape->select_key == NULL || column->is_key || is_selected(shape->entry, column->name));
	}
	change_data_write(out, record, shown, key_only_old, too_large);
}

static Slice
data_of(const Shape *shape)
{
	MemoryContext previous = MemoryContextSwitchTo(outbox_context());
	StringInfoData out;

	initStringInfo(&out);
	if (shape->error != NULL)
		change_data_write_error(&out, record, shape->error);
	else
		write_row(&out, shape);
	MemoryContextSwitchTo(previous);
	return slice_make(out.data, out.len);
}

/* ----------------------------------------------------- the messages ------------------------------------------------- */

static int
compare_hits(const void *a, const void *b)
{
	const Hit  *left = a;
	const Hit  *right = b;

	if (left->shape != right->shape)
		return left->shape < right->shape ? -1 : 1;
	if (left->subscription->listener != right->subscription->listener)
		return left->subscription->listener < right->subscription->listener ? -1 : 1;
	if (left->subscription->number != right->subscription->number)
		return left->subscription->number < right->subscription->number ? -1 : 1;
	return left->id < right->id ? -1 : left->id > right->id;
}

static int
compare_ids(const Message *left, const Message *right)
{
	if (left->id_count != right->id_count)
		return left->id_count < right->id_count ? -1 : 1;
	for (int i = 0; i < left->id_count; i++)
	{
		uint32		a = hits[left->first_hit + i].id;
		uint32		b = hits[right->first_hit + i].id;

		if (a != b)
			return a < b ? -1 : 1;
	}
	return 0;
}

/* Those on one topic next to each other, so that they share a frame. */
static int
compare_messages(const void *a, const void *b)
{
	const Message *left = a;
	const Message *right = b;
	int			order;

	if (left->shape != right->shape)
		return left->shape < right->shape ? -1 : 1;
	if (left->listener != right->listener)
		return left->listener < right->listener ? -1 : 1;
	order = compare_ids(left, right);
	return order != 0 ? order : strcmp(left->subscription->topic, right->subscription->topic);
}

/* Hits to messages; ids that are there twice, for equal entries, are there once. */
static int
make_messages(Message *messages)
{
	int			n = 0;
	int			kept = 0;

	qsort(hits, hit_count, sizeof(Hit), compare_hits);
	for (int i = 0; i < hit_count; i++)
	{
		Hit			hit = hits[i];
		Message    *last = n > 0 ? &messages[n - 1] : NULL;
		bool		same = last != NULL && last->subscription == hit.subscription && last->shape == hit.shape;

		if (same && hits[kept - 1].id == hit.id)
			continue;
		hits[kept] = hit;
		if (same)
			last->id_count++;
		else
			messages[n++] = (Message) {hit.shape, hit.subscription->listener, 1, kept, hit.subscription};
		kept++;
	}
	qsort(messages, n, sizeof(Message), compare_messages);
	return n;
}

/* The messages with equal ids that begin here, as a group of the record. */
static int
append_group(StringInfo out, const Message *messages, int n)
{
	BusChangeGroup group = {messages[0].id_count, 1};

	while (group.receivers < n && compare_ids(&messages[0], &messages[group.receivers]) == 0)
		group.receivers++;
	appendBinaryStringInfo(out, (char *) &group, sizeof(group));
	for (int i = 0; i < group.ids; i++)
		appendBinaryStringInfo(out, (char *) &hits[messages[0].first_hit + i].id, sizeof(uint32));
	for (int i = 0; i < group.receivers; i++)
	{
		Subscription *subscription = messages[i].subscription;
		BusReceiver receiver = {subscription->connection, subscription->connection_generation, subscription->number};

		appendBinaryStringInfo(out, (char *) &receiver, sizeof(receiver));
	}
	return group.receivers;
}

static void
send_record(const Message *messages, int n, Slice data)
{
	MemoryContext previous = MemoryContextSwitchTo(outbox_context());
	BusRecord	out = {.kind = BUS_CHANGE,.form = record->action,.event = data};
	StringInfoData groups;

	out.origin.listener = messages[0].listener;
	out.commit_lsn = record->commit;
	out.committed_at = record->committed_at;
	initStringInfo(&groups);
	for (int i = 0; i < n;)
		i += append_group(&groups, messages + i, n - i);
	MemoryContextSwitchTo(previous);
	out.payload = slice_make(groups.data, groups.len);
	outbox_add(&out);
}

/*
 * The outbox may be emptied by each record that is added, so the form is written again for each; a record has a listener, and
 * so many receivers at most, of its own.
 */
void
receivers_finish(void)
{
	Message    *messages;
	int			n;

	if (hit_count == 0)
		return;
	messages = palloc(sizeof(Message) * hit_count);
	n = make_messages(messages);
	for (int i = 0; i < n;)
	{
		int			count = 1;

		while (i + count < n && count < RECEIVERS_PER_RECORD && messages[i + count].shape == messages[i].shape &&
			   messages[i + count].listener == messages[i].listener)
			count++;
		send_record(messages + i, count, data_of(&shapes[messages[i].shape]));
		i += count;
	}
}
