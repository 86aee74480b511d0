// The published Supabase client, unmodified, and a few functions around it.

import { createClient } from '@supabase/supabase-js';
import WebSocket from 'ws';
import { until, within } from './poll.mjs';

export const VERSIONS = ['2.0.0', '1.0.0'];

const clients = new Set();

// A client of an instance. Node before 22 has no WebSocket of its own.
export function supabase(instance, { vsn = '2.0.0', key = instance.token(), realtime = {} } = {}) {
  const client = createClient(instance.url, key, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    realtime: {
      vsn,
      ...(globalThis.WebSocket ? {} : { transport: WebSocket }),
      ...realtime,
    },
  });
  clients.add(client);
  return client;
}

// Subscribes and waits for it. Returns { channel, messages, statuses }: messages collects the
// broadcasts of any event.
export async function subscribed(client, topic, config = {}, seconds = 10) {
  const channel = client.channel(topic, { config });
  const messages = [];
  const statuses = [];
  const systems = [];
  channel.on('broadcast', { event: '*' }, (message) => messages.push(message));
  channel.on('system', {}, (payload) => systems.push(payload));
  await subscribe(channel, statuses, seconds);
  return { channel, messages, statuses, systems };
}

export function subscribe(channel, statuses = [], seconds = 10) {
  return within(
    seconds,
    `SUBSCRIBED on ${channel.topic}`,
    new Promise((resolve, reject) => {
      channel.subscribe((status, error) => {
        statuses.push(status);
        if (status === 'SUBSCRIBED') {
          resolve();
        } else if (status !== 'CLOSED') {
          reject(new Error(`${status}: ${error?.message}`));
        }
      });
    }),
  );
}

// Waits until a list has as many entries, and returns it.
export function arrived(list, count, what = 'messages', seconds = 10) {
  return until(
    () => `${count} ${what}, ${list.length} came: ${JSON.stringify(list.slice(-3))}`,
    () => list.length >= count && list,
    { seconds },
  );
}

// Ends clients in the way that an application does.
export async function leave(...some) {
  for (const client of some) {
    await client.removeAllChannels();
    client.realtime.disconnect();
    clients.delete(client);
  }
}

// Ends those that a failed test has left; a client that goes on reconnecting would keep node alive.
export function abandon() {
  for (const client of clients) {
    client.realtime.disconnect();
  }
  clients.clear();
}
