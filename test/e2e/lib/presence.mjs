// What tests of presence share: raw clients, and what the listeners hold.

import { Present } from './present.mjs';

let number = 0;
export const newTopic = () => `presence-${++number}`;

// Clients that dropAll drops.
export const opened = new Set();

// A raw client that has joined, with its presence_state.
export async function join(on, topic, options = {}) {
  const self = new Present(topic, options);
  opened.add(self);
  await self.open(options.port ?? on.port, options.token ?? on.token());
  if (options.config?.presence?.enabled !== false && options.state !== false) {
    await self.synced();
  }
  return self;
}

export function dropAll() {
  for (const { socket } of opened) {
    socket?.drop();
  }
  opened.clear();
}

// What each listener holds for a topic, as one text each.
export async function held(on, topic) {
  const rows = await on.rows(
    `select seen_by, string_agg(concat_ws('|', private, key, phx_ref, payload, since, connection, listener), e'\\x1e' order by key, phx_ref)
     from realtime.presence where topic = '${topic}' group by seen_by order by seen_by`,
  );
  return rows.map((row) => row.slice(row.indexOf('|') + 1));
}

export const keysOf = async (on, topic, seenBy = 0) =>
  on.rows(`select key from realtime.presence where topic = '${topic}' and seen_by = ${seenBy} order by key collate "C"`);
