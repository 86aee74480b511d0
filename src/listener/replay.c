/*
 * replay.c
 *	  Stored messages that a join asks for.
 *
 * The authorizer puts them on the bus before it answers; asked_replay.c collects them.
 */
#include "postgres.h"

#include "listener/asking.h"
#include "listener/fanout.h"
#include "listener/output.h"
#include "listener/replay.h"
#include "listener/tally.h"
#include "shared/bus.h"
#include "shared/settings.h"

#define UNABLE		"UnableToReplayMessages: "

/* {"id":"…","replayed":true} */
#define METADATA_BOUND	80

void
replay_ask(const JoinConfig *config, AskingWants *wants)
{
	int64		since;
	int			limit;

	if (config->has_replay && join_replay(config->replay, realtime_replay_limit, &since, &limit) == JOIN_REPLAY_ASKED)
	{
		wants->replay_since = since;
		wants->replay_limit = limit;
	}
}

const char *
replay_refusal(const JoinConfig *config, const Answer *answer)
{
	int64		since;
	int			limit;

	if (!config->has_replay)
		return NULL;
	switch (join_replay(config->replay, realtime_replay_limit, &since, &limit))
	{
		case JOIN_REPLAY_BAD:
			return UNABLE "Replay params are not valid";
		case JOIN_REPLAY_ASKED:
			if (answer->replay != REPLAY_DONE || asked_replay_count(asking_replay()) != answer->replayed)
				return UNABLE "Realtime was unable to replay messages";
			return NULL;
		default:
			return NULL;
	}
}

/* Frame one for this channel; false: it can't be delivered to it. */
static bool
send_row(Channel *channel, const BusRecord *record)
{
	Connection *connection = channel->connection;
	Slice		topic = topic_full(channel->topic);
	bool		raw = record->form == BUS_FORM_BINARY;
	char		text[METADATA_BOUND];
	Writer		metadata = writer_fixed(text, sizeof(text));
	Writer	   *w;

	writer_literal(&metadata, "{\"id\":\"");
	fanout_write_id(&metadata, record);
	writer_literal(&metadata, "\",\"replayed\":true}");
	if (raw && phx_user_broadcast_form(connection->vsn, topic, record->event, writer_written(&metadata), true) == PHX_FORM_NONE)
		return false;
	w = frame_begin(phx_bound(channel->join_ref.len, topic.len + record->event.len, record->payload.len + METADATA_BOUND));
	if (raw)
		(void) phx_write_user_broadcast(w, connection->vsn, topic, record->event, writer_written(&metadata), true,
										record->payload);
	else
		phx_write_user_broadcast_text(w, connection->vsn, channel->join_ref, topic, record->event,
									  writer_written(&metadata), record->payload);
	output_send(connection, frame_finish(raw ? FRAME_BINARY : FRAME_TEXT));
	return true;
}

static void
tell_left_out(Channel *channel, int n)
{
	char		text[128];
	Writer		w = writer_fixed(text, sizeof(text));

	writer_literal(&w, UNABLE);
	writer_uint(&w, n);
	writer_literal(&w, " of the messages asked for are too long to be sent at once");
	channel_system(channel, SLICE_LITERAL("system"), false, writer_written(&w));
}

void
replay_send(Channel *channel)
{
	Slice		rows = asked_replay_rows(asking_replay());
	uint32		count = asked_replay_count(asking_replay());
	Size		offset = 0;
	BusRecord	record;

	if (count > 0)
		channel->replayed = malloc(count * sizeof(*channel->replayed));
	if (count > 0 && channel->replayed == NULL)
		output_queue(channel->connection, NULL);
	while (channel->replayed != NULL && bus_next(rows.data, rows.len, &offset, &record))
	{
		memcpy(channel->replayed[channel->replayed_count++], record.id, sizeof(record.id));
		if (send_row(channel, &record))
			tally(COUNTER_DELIVERIES, 1);
	}
	if (asking_left_out() > 0)
		tell_left_out(channel, asking_left_out());
	tally(COUNTER_REPLAYS, 1);
}
