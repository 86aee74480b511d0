// A channel that goes on where it was when its connection was lost: an example to be copied, and what
// resume.test.mjs tests. It wraps a channel of supabase-js and uses nothing but its public functions.
//
//   const room = resumable(supabase, 'room', {
//     config: { private: true, broadcast: { self: true } },   // as for supabase.channel()
//     onMessage: ({ event, payload, meta }) => …,             // each message, once, in order
//     onGap: (why) => …,                                      // messages are lost: load what you need anew
//     onStatus: (status, error) => …,                         // as of channel.subscribe()
//   });
//   await room.channel.send({ type: 'broadcast', event: 'hello', payload: {} });
//   supabase.removeChannel(room.channel);
//
// What this client sent itself while it was being cut off may come back among the messages, also without
// `self`: after a reconnect the server can't tell whose they were.

export function resumable(client, topic, { config = {}, onMessage, onGap = () => {}, onStatus = () => {} }) {
  // Epoch and number of the last message. supabase-js keeps a reference to this object in its join
  // payload, so every join, also one that it makes by itself, says what is in here then.
  const resume = {};
  const channel = client.channel(topic, {
    config: { ...config, broadcast: { ...config.broadcast, resume } },
  });
  let behind = false; // what comes now is left to the next join
  let joined = false;

  const goOnFrom = ({ epoch, seq }) => Object.assign(resume, { epoch, seq });

  // The server answers each join with the place from which messages follow. It comes before them.
  channel.joinPush.receive('ok', ({ resume: answer }) => {
    if (answer === undefined) {
      if (joined) {
        onGap('the server knows no resume');
      }
    } else {
      goOnFrom(answer);
      if (answer.recovered === false) {
        onGap('the history of the server does not reach back to the last message');
      }
    }
    behind = false;
    joined = true;
  });

  channel.on('broadcast', { event: '*' }, (message) => {
    if (behind) {
      return;
    }
    // Stored messages that a join has replayed have no number.
    if (message.meta?.seq !== undefined) {
      goOnFrom(message.meta);
    }
    onMessage(message);
  });

  // The server could not keep up. What it has left out may still be in its history: join again.
  channel.on('system', {}, async ({ status, message }) => {
    if (status === 'error' && message.startsWith('UnableToBroadcastChanges')) {
      onGap(message); // a message that can't be delivered to anybody
    } else if (status === 'error' && message.startsWith('Messages were lost') && !behind) {
      behind = true;
      await client.realtime.disconnect();
      client.realtime.connect();
    }
  });

  channel.subscribe(onStatus);
  return { channel, resume };
}
