// Postgres Changes for tests: subscriptions through the published client, and over a raw connection.

import { subscribe, supabase } from './client.mjs';
import { member } from './member.mjs';
import { until } from './poll.mjs';

let number = 0;

export const literal = (text) => `'${text.replaceAll("'", "''")}'`;

// A value of a filter as the client's own filter builder writes it: in quotes if it needs them.
export const quoted = (value) => (/[,()"\\]|^\s|\s$/.test(value) ? `"${value.replaceAll(/["\\]/g, '\\$&')}"` : value);

// A channel of supabase-js with these entries, live. Returns { client, channel, systems, heard }: heard[i] are the
// payloads that the callback of entry i got.
export async function listen(instance, entries, { key, vsn, seconds = 20 } = {}) {
  const client = supabase(instance, { key, vsn });
  const channel = client.channel(`changes-${++number}`);
  const systems = [];
  channel.on('system', {}, (payload) => systems.push(payload));
  const heard = entries.map((entry) => {
    const payloads = [];
    channel.on('postgres_changes', { event: '*', schema: 'public', ...entry }, (payload) => payloads.push(payload));
    return payloads;
  });
  await subscribe(channel, [], seconds);
  return { client, channel, systems, heard };
}

// What a refused subscription is told: the message of its system error.
export async function refusal(instance, entry, { key } = {}) {
  const self = await member(instance, `changes-${++number}`, {
    key,
    ready: false,
    config: { postgres_changes: [{ event: '*', schema: 'public', ...entry }] },
  });
  await until(
    () => `an answer to the subscription ${JSON.stringify(entry)}`,
    () => self.systems.some(({ extension }) => extension === 'postgres_changes'),
  );
  self.socket.drop();
  const { status, message } = self.systems.find(({ extension }) => extension === 'postgres_changes');
  if (status !== 'error') {
    throw new Error(`${JSON.stringify(entry)} was not refused: ${message}`);
  }
  return message;
}

// A raw connection that is subscribed to these entries. `changes` are the data of what came, as JSON has it.
export async function watch(instance, entries, { key, vsn } = {}) {
  const self = await member(instance, `changes-${++number}`, {
    key,
    vsn,
    ready: false,
    config: { postgres_changes: entries.map((entry) => ({ event: '*', schema: 'public', ...entry })) },
  });
  await until(
    () => `"Subscribed to PostgreSQL" (${JSON.stringify(self.systems)})`,
    () => self.systems.some(({ status, extension }) => status === 'ok' && extension === 'postgres_changes'),
    { seconds: 20 },
  );
  const ids = self.replies.get('1').response.postgres_changes.map(({ id }) => id);
  return {
    ...self,
    ids,
    // The data of all changes so far, taken out, once there are as many.
    async take(count, seconds = 20) {
      const come = () => self.others.filter(({ event }) => event === 'postgres_changes');
      await until(() => `${count} changes, ${come().length} came`, () => come().length >= count, { seconds });
      const data = come().map(({ payload }) => payload.data);
      self.others.length = 0;
      return data;
    },
  };
}
