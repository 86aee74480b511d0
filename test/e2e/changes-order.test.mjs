// Changes come in the order in which they were committed, each once, to every subscriber, whichever listener serves him.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { readFrame } from './lib/frames.mjs';
import { until } from './lib/poll.mjs';

const WRITERS = 8;
const EACH = 2500; // changes
const LISTENERS = 2;
const SUBSCRIBERS = 3;

let instance;
before(async () => {
  instance = await Instance.start({ listeners: LISTENERS, settings: ['fsync = off'] });
  await instance.rows(`
    select realtime.setup_supabase();
    create table written (id int primary key, owner uuid, again int not null default 0);
    create table judged (like written including all);
    alter table judged enable row level security;
    create policy all_of_them on judged for select to anon using (id >= 0 or owner = auth.uid());
    grant select on written, judged to anon;
    alter publication supabase_realtime add table written, judged;
    select pg_create_logical_replication_slot('witness', 'pgoutput');
  `);
});
after(() => instance?.destroy());

// What came, as "TYPE table id again", in its order.
async function subscriber(vsn) {
  const lines = [];
  const systems = [];
  const socket = await instance.connect({
    vsn,
    onFrame(frame) {
      const { event, payload } = readFrame(frame);
      if (event === 'system') {
        systems.push(payload.message);
      } else if (event === 'postgres_changes') {
        const { type, table, record, old_record: old } = payload.data;
        lines.push(`${type} ${table} ${(record ?? old).id}${record ? ` ${record.again}` : ''}`);
      }
    },
  });
  const join = { config: { postgres_changes: [{ event: '*', schema: 'public', table: 'written' }, { event: '*', schema: 'public', table: 'judged' }] } };
  socket.sendJson(vsn === '1.0.0' ? { topic: 'realtime:all', event: 'phx_join', payload: join, ref: '1', join_ref: '1' } : ['1', '1', 'realtime:all', 'phx_join', join]);
  await until(() => `"Subscribed to PostgreSQL": ${systems}`, () => systems.includes('Subscribed to PostgreSQL'), { seconds: 20 });
  return { socket, lines, systems };
}

// Subscribers, of which each listener has at least one.
async function subscribers() {
  const all = [];
  const listeners = async () => (await instance.rows('select distinct listener from realtime.connections')).length;
  while (all.length < SUBSCRIBERS || (await listeners()) < LISTENERS) {
    assert.ok(all.length < 60, 'all connections went to one listener');
    all.push(await subscriber(all.length % 2 ? '1.0.0' : '2.0.0'));
  }
  return all;
}

// One writer: transactions of one to four changes, whose commits mix with those of the others; some are rolled back.
const write = (writer) => instance.session().rows(`
  do $$
  declare
    id int;
    done int := 0;
    tab text;
  begin
    while done < ${EACH} loop
      id := ${writer * 100_000} + done;
      tab := case when done % 3 = 0 then 'judged' else 'written' end;
      execute format('insert into %I values (%s)', tab, id);
      done := done + 1;
      if done % 5 = 0 and done < ${EACH - 3} then
        execute format('update %I set again = 1 where id = %s', tab, id);
        insert into written values (${writer * 100_000} + 50000 + done);
        execute format('delete from %I where id = %s', tab, id);
        done := done + 3;
      end if;
      if done % 20 = 0 then
        perform pg_sleep(0.001);
      end if;
      if done % 7 = 0 then
        commit;
        insert into written values (-id);
        rollback;
      else
        commit;
      end if;
    end loop;
  end $$`, 120);

// What PostgreSQL's own plugin decodes, in the same form.
async function decoded() {
  const names = new Map();
  const lines = [];
  const rows = await instance.rows(`select encode(data, 'hex') from pg_logical_slot_get_binary_changes('witness', null, null,
    'proto_version', '1', 'publication_names', 'supabase_realtime')`, 120);
  for (const row of rows) {
    const data = Buffer.from(row, 'hex');
    const kind = String.fromCharCode(data[0]);
    const relation = data.readUInt32BE(1);
    // Values in text form of the tuple at a position: null, or 't' and its length.
    const values = (at) => {
      const list = [];
      for (let left = data.readUInt16BE(at), from = at + 2; left > 0; left--) {
        const length = data[from] === 0x74 ? data.readUInt32BE(from + 1) : -5;
        list.push(length >= 0 ? data.toString('utf8', from + 5, from + 5 + length) : undefined);
        from += length >= 0 ? 5 + length : 1;
      }
      return list;
    };
    if (kind === 'R') {
      const schema = data.indexOf(0, 5);
      names.set(relation, data.toString('utf8', schema + 1, data.indexOf(0, schema + 1)));
    } else if (kind === 'I' || kind === 'U') {
      const [id, , again] = values(6);
      lines.push(`${kind === 'I' ? 'INSERT' : 'UPDATE'} ${names.get(relation)} ${id} ${again}`);
    } else if (kind === 'D') {
      lines.push(`DELETE ${names.get(relation)} ${values(6)[0]}`);
    }
  }
  return lines;
}

test(`${WRITERS} writers, ${WRITERS * EACH} changes`, { timeout: 180_000 }, async () => {
  const all = await subscribers();
  await Promise.all(Array.from({ length: WRITERS }, (_, i) => write(i + 1)));
  await instance.rows('insert into written values (0)');
  await until(() => `the last change; came ${all.map(({ lines }) => lines.length)}`,
    () => all.every(({ lines }) => lines.at(-1) === 'INSERT written 0 0'), { seconds: 60 });
  const expected = await decoded();
  assert.equal(expected.length, WRITERS * EACH + 1);
  // The writers did mix.
  const writers = expected.map((line) => Math.floor(Number(line.split(' ')[2]) / 100_000));
  const switches = writers.filter((writer, i) => i > 0 && writer !== writers[i - 1]).length;
  assert.ok(switches > expected.length / 50, `${switches} switches between writers`);
  all.forEach(({ lines, systems }, i) => {
    const wrong = expected.findIndex((line, n) => line !== lines[n]);
    assert.equal(wrong, -1, `subscriber ${i}, change ${wrong}: ${lines.slice(wrong - 1, wrong + 3)}; committed was ${expected.slice(wrong - 1, wrong + 3)}`);
    assert.equal(lines.length, expected.length);
    assert.deepEqual(systems, ['Subscribed to PostgreSQL']);
  });
  all.forEach(({ socket }) => socket.drop());
});
