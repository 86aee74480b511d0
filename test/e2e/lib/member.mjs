// A member of a channel over a raw connection: joins, and sorts what comes.

import { readFrame } from './frames.mjs';
import { until } from './poll.mjs';

// Joins realtime:TOPIC. With `ready` (the default) it also waits until messages from the database are
// delivered. `messages` are { event, payload, id, at }, `systems` the payloads of system messages,
// `replies` the payloads of replies by ref.
export async function member(instance, topic, { vsn = '2.0.0', key, config = {}, ready = true, seconds = 20 } = {}) {
  const full = `realtime:${topic}`;
  const messages = [];
  const systems = [];
  const replies = new Map();
  const others = [];
  const onFrame = (frame) => {
    const { event, payload, ref, meta, userEvent, data, encoding } = readFrame(frame);
    switch (event) {
      case 'broadcast':
        messages.push({
          event: userEvent ?? payload.event,
          payload: encoding === 0 ? data : payload.payload,
          id: meta?.id,
          at: frame.at,
        });
        break;
      case 'system':
        systems.push({ ...payload, at: frame.at });
        break;
      case 'phx_reply':
        replies.set(ref, payload);
        break;
      default:
        others.push({ event, payload });
    }
  };
  const socket = await instance.connect({ vsn, key, onFrame });
  let number = 1;
  const push = (event, payload, ref = String(++number)) => {
    socket.sendJson(
      vsn.startsWith('1') ? { topic: full, event, payload, ref, join_ref: '1' } : ['1', ref, full, event, payload],
    );
    return ref;
  };
  push('phx_join', { config: ready ? { ...config, broadcast: { ...config.broadcast, replication_ready: true } } : config }, '1');
  await until('a reply to the join', () => replies.has('1'), { seconds });
  const self = { socket, topic, messages, systems, replies, others, push };
  if (replies.get('1').status !== 'ok') {
    socket.drop();
    throw new Error(`join refused: ${JSON.stringify(replies.get('1'))}`);
  }
  if (ready) {
    await until(
      () => `"Replication connection established" (${JSON.stringify(systems)})`,
      () => systems.some(({ status, message }) => status === 'ok' && message === 'Replication connection established'),
      { seconds },
    );
  }
  return self;
}

// Publishes a last message and waits for it: the WAL is the order, so all that was committed before
// has come when it comes. Returns the messages before it and takes them out.
export async function fence(instance, self, { seconds = 20, session = instance } = {}) {
  await session.rows(`select realtime.send('{}', 'fence', '${self.topic}', false)`);
  await until(
    () => `the fence after ${self.messages.length} messages on ${self.topic}`,
    () => self.messages.some(({ event }) => event === 'fence'),
    { seconds },
  );
  const end = self.messages.findIndex(({ event }) => event === 'fence');
  const before = self.messages.splice(0, end + 1);
  before.pop();
  return before;
}

// The rows of realtime.health(): { check, ok, detail, hint }.
export async function health(instance) {
  const rows = await instance.rows('select row_to_json(h) from realtime.health() h');
  return rows.map((row) => JSON.parse(row));
}

// The workers of a kind, as realtime.workers has them.
export async function workers(instance, kind) {
  const rows = await instance.rows(
    `select row_to_json(w) from realtime.workers w${kind ? ` where kind = 'realtime ${kind}'` : ''}`,
  );
  return rows.map((row) => JSON.parse(row));
}

// The only running worker of a kind; waits until there is one, other than `not`.
export function running(instance, kind, { not, seconds = 20 } = {}) {
  return until(
    `a running ${kind}`,
    async () => (await workers(instance, kind)).find(({ state, pid }) => state === 'running' && pid && pid !== not),
    { seconds },
  );
}
