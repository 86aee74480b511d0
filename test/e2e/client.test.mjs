// What an application sees: the published Supabase client, both protocol versions, against one server.

import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { VERSIONS, abandon, arrived, leave, subscribe, subscribed, supabase } from './lib/client.mjs';
import { member } from './lib/member.mjs';
import { until } from './lib/poll.mjs';

let instance;
before(async () => {
  instance = await Instance.start({ listeners: 2, settings: ['fsync = off'] });
  await instance.rows('select realtime.setup_supabase()');
});
after(() => instance?.destroy());
afterEach(abandon);

const pairs = VERSIONS.flatMap((from) => VERSIONS.map((to) => [from, to]));
let number = 0;
const newTopic = () => `client-${++number}`;

// A sender's own way to know that all it sent before has been delivered to it.
async function sendAll(channel, event, count) {
  for (let n = 0; n < count; n++) {
    const answer = await channel.send({ type: 'broadcast', event, payload: { n } });
    assert.equal(answer, 'ok');
  }
}

for (const [from, to] of pairs) {
  describe(`from ${from} to ${to}`, () => {
    test('a broadcast arrives, and the sender gets none without self', async () => {
      const topic = newTopic();
      const [a, b] = [supabase(instance, { vsn: from }), supabase(instance, { vsn: to })];
      const sender = await subscribed(a, topic, { broadcast: { ack: true } });
      const receiver = await subscribed(b, topic);
      const payload = { text: 'жарко ☀', number: 2.5, list: [1, null, { deep: true }] };
      assert.equal(await sender.channel.send({ type: 'broadcast', event: 'hello', payload }), 'ok');
      await arrived(receiver.messages, 1);
      assert.deepEqual(receiver.messages, [{ type: 'broadcast', event: 'hello', payload }]);
      assert.deepEqual(sender.messages, []);
      await leave(a, b);
    });

    test('with self and ack the sender has its own copy when the ack comes', async () => {
      const topic = newTopic();
      const [a, b] = [supabase(instance, { vsn: from }), supabase(instance, { vsn: to })];
      const sender = await subscribed(a, topic, { broadcast: { ack: true, self: true } });
      const receiver = await subscribed(b, topic);
      assert.equal(await sender.channel.send({ type: 'broadcast', event: 'x', payload: { n: 1 } }), 'ok');
      assert.equal(sender.messages.length, 1);
      await arrived(receiver.messages, 1);
      assert.deepEqual(receiver.messages[0].payload, { n: 1 });
      await leave(a, b);
    });

    test('messages keep their order', async () => {
      const topic = newTopic();
      const [a, b] = [supabase(instance, { vsn: from }), supabase(instance, { vsn: to })];
      const sender = await subscribed(a, topic);
      const receiver = await subscribed(b, topic);
      for (let n = 0; n < 500; n++) {
        sender.channel.send({ type: 'broadcast', event: 'n', payload: { n } });
      }
      await arrived(receiver.messages, 500);
      assert.deepEqual(receiver.messages.map(({ payload }) => payload.n), [...Array(500).keys()]);
      await leave(a, b);
    });
  });
}

for (const vsn of VERSIONS) {
  describe(`client ${vsn}`, () => {
    test('realtime.send reaches it after commit, with the id of the row', async () => {
      const topic = newTopic();
      const client = supabase(instance, { vsn });
      const { messages } = await subscribed(client, topic, { broadcast: { replication_ready: true } });
      await instance.rows(`
        begin; select realtime.send('{"n": 0}', 'gone', '${topic}', false); rollback;
        begin;
        select realtime.send('{"n": 1}', 'first', '${topic}', false);
        select realtime.send('{"n": 2, "id": "mine"}', 'second', '${topic}', false);
        select realtime.send('{"n": 3}', 'private', '${topic}');
        commit`);
      await arrived(messages, 2);
      const ids = await instance.rows(`select id from realtime.messages where topic = '${topic}' and not private order by position`);
      assert.deepEqual(messages, [
        { type: 'broadcast', event: 'first', payload: { n: 1, id: ids[0] }, meta: { id: ids[0] } },
        { type: 'broadcast', event: 'second', payload: { n: 2, id: 'mine' }, meta: { id: ids[1] } },
      ]);
      await leave(client);
    });

    test('a message sent from SQL while it is away is missed, the next one is not', async () => {
      const topic = newTopic();
      const client = supabase(instance, { vsn });
      const witness = await member(instance, topic);
      const first = await subscribed(client, topic);
      await client.removeChannel(first.channel);
      await instance.rows(`select realtime.send('{"n": 1}', 'e', '${topic}', false)`);
      await arrived(witness.messages, 1);
      witness.socket.drop();
      const second = await subscribed(client, topic);
      await instance.rows(`select realtime.send('{"n": 2}', 'e', '${topic}', false)`);
      await arrived(second.messages, 1);
      assert.equal(second.messages[0].payload.n, 2);
      assert.deepEqual(first.messages, []);
      await leave(client);
    });

    test('setAuth changes the token and the channel goes on', async () => {
      const topic = newTopic();
      const client = supabase(instance, { vsn });
      const { channel, messages, statuses } = await subscribed(client, topic, { broadcast: { self: true, ack: true } });
      await client.realtime.setAuth(instance.token('authenticated', { sub: '11111111-1111-4111-8111-111111111111' }));
      assert.equal(await channel.send({ type: 'broadcast', event: 'x', payload: {} }), 'ok');
      await arrived(messages, 1);
      assert.deepEqual(statuses, ['SUBSCRIBED']);
      await leave(client);
    });

    test('a channel that was left can be joined again', async () => {
      const topic = newTopic();
      const client = supabase(instance, { vsn });
      for (let round = 0; round < 3; round++) {
        const { channel, messages } = await subscribed(client, topic, { broadcast: { self: true, ack: true } });
        await sendAll(channel, 'x', 2);
        await arrived(messages, 2);
        assert.equal(await client.removeChannel(channel), 'ok');
      }
      await until('no channel is left', async () =>
        (await instance.value(`select count(*) from realtime.channels where topic = '${topic}'`)) === '0');
      await leave(client);
    });

    test('when the listener ends, it connects and joins again', async () => {
      const topic = newTopic();
      const client = supabase(instance, { vsn, realtime: { reconnectAfterMs: () => 100 } });
      const { messages, statuses } = await subscribed(client, topic);
      const pids = await instance.rows(`select pid from realtime.workers where kind = 'realtime listener'`);
      assert.equal(pids.length, 2);
      await instance.rows(`select pg_terminate_backend(pid) from realtime.workers where kind = 'realtime listener'`);
      await until('other processes listen', async () => {
        const now = await instance.rows(`select pid from realtime.workers where kind = 'realtime listener' and state = 'running'`);
        return now.length === 2 && now.every((pid) => !pids.includes(pid));
      });
      await until(() => `joined again, statuses ${statuses}`, () => statuses.filter((s) => s === 'SUBSCRIBED').length >= 2, { seconds: 30 });
      await instance.rows(`select realtime.send('{"n": 1}', 'e', '${topic}', false)`);
      await arrived(messages, 1);
      await leave(client);
    });

    test('a private channel obeys the policies, as whoever signed in', async () => {
      const topic = `private-${newTopic()}`;
      const sub = '11111111-1111-4111-8111-111111111111';
      await instance.rows(`
        create policy "reads ${topic}" on realtime.messages for select to authenticated
          using ((select realtime.topic()) = '${topic}' and (select auth.jwt()) ->> 'sub' = '${sub}');
        create policy "writes ${topic}" on realtime.messages for insert to authenticated
          with check ((select realtime.topic()) = '${topic}' and extension = 'broadcast')`);
      const client = supabase(instance, { vsn });
      const config = { private: true, broadcast: { self: true, ack: true } };
      await assert.rejects(subscribe(client.channel(topic, { config })), /You do not have permissions to read from this Channel topic/);
      await client.removeAllChannels();
      await client.realtime.setAuth(instance.token('authenticated', { sub }));
      const { channel, messages } = await subscribed(client, topic, config);
      assert.equal(await channel.send({ type: 'broadcast', event: 'x', payload: { n: 1 } }), 'ok');
      await instance.rows(`select realtime.send('{"n": 2}', 'y', '${topic}'); select realtime.send('{"n": 3}', 'public', '${topic}', false)`);
      await arrived(messages, 2);
      assert.deepEqual(messages.map(({ event, payload }) => [event, payload.n]), [['x', 1], ['y', 2]]);
      await leave(client);
    });

    test('a table that is not published says so', async () => {
      const topic = newTopic();
      const client = supabase(instance, { vsn });
      const channel = client.channel(topic);
      const systems = [];
      channel.on('postgres_changes', { event: '*', schema: 'public', table: 't' }, () => {});
      channel.on('system', {}, (payload) => systems.push(payload));
      await subscribe(channel);
      await arrived(systems, 1);
      assert.deepEqual(systems[0], {
        extension: 'postgres_changes',
        status: 'error',
        message:
          'Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given ' +
          'connect parameters: [event: *, schema: public, table: t, filters: [], select: nil]',
        channel: topic,
      });
      await leave(client);
    });
  });
}

test('bytes reach V2 clients as they are, and V1 clients not at all', async () => {
  const topic = newTopic();
  const [a, b, c] = ['2.0.0', '2.0.0', '1.0.0'].map((vsn) => supabase(instance, { vsn }));
  const sender = await subscribed(a, topic, { broadcast: { ack: true } });
  const v2 = await subscribed(b, topic);
  const v1 = await subscribed(c, topic);
  const bytes = Uint8Array.from([0, 1, 2, 255, 254, 123]);
  assert.equal(await sender.channel.send({ type: 'broadcast', event: 'raw', payload: bytes.buffer }), 'ok');
  await instance.rows(`select realtime.send_binary('\\x00ff10'::bytea, 'raw', '${topic}', false)`);
  await instance.rows(`select realtime.send('{}', 'end', '${topic}', false)`);
  await arrived(v1.messages, 1);
  await arrived(v2.messages, 3);
  assert.deepEqual(v1.messages.map(({ event }) => event), ['end']);
  assert.deepEqual(v2.messages.map(({ event }) => event), ['raw', 'raw', 'end']);
  assert.deepEqual([...new Uint8Array(v2.messages[0].payload)], [...bytes]);
  assert.deepEqual([...new Uint8Array(v2.messages[1].payload)], [0, 255, 16]);
  const id = await instance.value(`select id from realtime.messages where topic = '${topic}' and binary_payload is not null`);
  assert.equal(v2.messages[1].meta.id, id);
  await leave(a, b, c);
});

test('a message over the limit is refused, the connection and its other messages are not touched', async () => {
  const topic = newTopic();
  const client = supabase(instance);
  const { channel, messages } = await subscribed(client, topic, { broadcast: { ack: true, self: true } });
  const answer = await channel.send({ type: 'broadcast', event: 'big', payload: { text: 'x'.repeat(3_100_000) } });
  assert.notEqual(answer, 'ok');
  assert.equal(await channel.send({ type: 'broadcast', event: 'big', payload: { text: 'x'.repeat(2_900_000) } }), 'ok');
  await arrived(messages, 1);
  assert.equal(messages[0].payload.text.length, 2_900_000);
  await leave(client);
});

test('broadcast_changes in a trigger writes what its clients will get', async () => {
  await instance.rows(`
    create table public.todo (id int primary key, done boolean);
    create function public.todo_changed() returns trigger language plpgsql security definer as $$
    begin
      perform realtime.broadcast_changes('todo', tg_op, tg_op, tg_table_name, tg_table_schema, new, old);
      return null;
    end $$;
    create trigger todo_changed after insert or update or delete on public.todo
      for each row execute function public.todo_changed();
    insert into public.todo values (1, false);
    update public.todo set done = true;
    delete from public.todo`);
  const rows = await instance.rows(`
    select jsonb_build_object('event', event, 'private', private, 'payload', payload - 'id')
    from realtime.messages where topic = 'todo' order by position`);
  const image = (done) => ({ id: 1, done });
  assert.deepEqual(
    rows.map((row) => JSON.parse(row)),
    [
      ['INSERT', image(false), null],
      ['UPDATE', image(true), image(false)],
      ['DELETE', null, image(true)],
    ].map(([operation, record, old]) => ({
      event: operation,
      private: true,
      payload: { table: 'todo', schema: 'public', operation, record, old_record: old },
    })),
  );
});
