// Postgres Changes for tests: subscriptions through the published client, and over a raw connection.

import { afterEach } from 'node:test';
import assert from 'node:assert/strict';
import { subscribe, supabase } from './client.mjs';
import { Instance } from './instance.mjs';
import { member, running } from './member.mjs';
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

// What a subscriber was told of errors.
export const errorsOf = (self) => self.systems.filter(({ status }) => status === 'error').map(({ message }) => message);

// Tables and subscribers for a server that is set up for Supabase, and that lets everybody read new tables.
async function bench(instance) {
  let ids = 0;
  let tables = 0;
  const newId = () => ++ids;
  await instance.rows('create table fence (id int primary key); alter publication supabase_realtime add table fence');

  // A new table that is published; `sql` is about TABLE.
  async function table(sql, columns = 'id int primary key, n int, name text') {
    const name = `t${++tables}`;
    await instance.rows(`create table ${name} (${columns}); alter publication supabase_realtime add table ${name}; ${sql.replaceAll('TABLE', name)}`);
    return name;
  }

  const user = (claims = {}) => instance.token('authenticated', claims);
  const subscriber = (name, { key = user(), ...entry } = {}) => watch(instance, [{ table: name, ...entry }, { table: 'fence' }], { key });

  // What came before a fence: the data of changes.
  async function come(self) {
    const id = newId();
    await instance.rows(`insert into fence values (${id})`);
    const changes = [];
    await until(
      () => `fence ${id}; told ${JSON.stringify(self.systems)}`,
      async () => {
        changes.push(...(await self.take(0)));
        return changes.some(({ table: from, record }) => from === 'fence' && record?.id === id);
      },
      { seconds: 20 },
    );
    return changes.filter(({ table: from }) => from !== 'fence');
  }
  const rowsOf = async (self) => (await come(self)).map(({ record, old_record: old }) => (record ?? old).id);

  async function insertRows(name, count, values = 'null, null') {
    const first = ids + 1;
    ids += count;
    await instance.rows(`insert into ${name} select g, ${values} from generate_series(${first}, ${ids}) g`);
    return Array.from({ length: count }, (_, i) => first + i);
  }

  // Holds what is committed back from being judged, or from being decoded, while `work` runs.
  async function held(work, kind = 'changes') {
    const { pid } = await running(instance, kind);
    process.kill(pid, 'SIGSTOP');
    try {
      await work();
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  }

  return { newId, table, user, subscriber, come, rowsOf, insertRows, held };
}

// Starts a server for them, with what `sql` makes besides.
export async function startBench(sql = '', settings = []) {
  const instance = await Instance.start({ listeners: 2, settings: ['fsync = off', 'autovacuum = off', ...settings] });
  try {
    await instance.rows(`
      select realtime.setup_supabase();
      alter default privileges grant select on tables to anon, authenticated;
      ${sql}`);
    return { instance, ...(await bench(instance)) };
  } catch (error) {
    await instance.destroy();
    throw error;
  }
}

// None of the tests of a file may end a worker of these kinds; of() is their instance.
export function workersStay(of, kinds = ['changes']) {
  let first;
  afterEach(async () => {
    const now = [];
    for (const kind of kinds) {
      now.push((await running(of(), kind)).pid);
    }
    first ??= now;
    assert.deepEqual(now, first);
  });
}

// For table(): who may see its rows.
export const secured = (using) => `alter table TABLE enable row level security; create policy p on TABLE for select using (${using});`;
