// What the change decoder passes over because it has learned that nothing is published of it, and that this never costs a
// change: publications, tables and their rows change in all orders, and what comes is what PostgreSQL's own plugin decodes.

import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { abandon } from './lib/client.mjs';
import { watch } from './lib/changes.mjs';
import { workers } from './lib/member.mjs';
import { decodedOneByOne } from './lib/pgoutput.mjs';
import { until } from './lib/poll.mjs';

const BODY = "(select string_agg(md5(g::text), '') from generate_series(1, 200) g)";

let instance;
let self;
let decoder;
let fences = 0;

before(async () => {
  instance = await Instance.start({ settings: ['fsync = off', 'autovacuum = off'] });
  await instance.rows(`
    select realtime.setup_supabase();
    alter default privileges in schema public grant select on tables to anon;
    create table fence (id int primary key);
    create table other (id int primary key);
    alter publication supabase_realtime add table fence, other;
  `);
  self = await watch(instance, [{}]);
  decoder = (await workers(instance, 'change decoder'))[0].pid;
});
after(() => instance?.destroy());
after(abandon);

// One decoder served all tests: none was ended by what it read.
afterEach(async () => {
  assert.equal((await workers(instance, 'change decoder'))[0].pid, decoder);
});

const show = ({ table, type, record, old_record: old }) => `${table} ${type} ${(record ?? old).id}`;

// All changes since the last call, as "table TYPE id".
async function come() {
  const changes = [];
  const id = ++fences;
  await instance.rows(`insert into fence values (${id})`);
  await until(
    () => `fence ${id} after ${changes.slice(-5).map(show)}`,
    async () => {
      for (const change of await self.take(0)) {
        changes.push(change);
      }
      return changes.some(({ table, record }) => table === 'fence' && record.id === id);
    },
    { seconds: 60 },
  );
  changes.pop();
  return changes;
}

const shown = async () => (await come()).map(show);

const stat = async (name) => Number(await instance.value(`select value from realtime.stats where name = '${name}'`));

// A table that is not published, of which the decoder knows that.
async function table(name, columns = 'id int primary key, body text') {
  await instance.rows(`
    create table ${name} (${columns});
    insert into ${name} (id) values (0)`);
  assert.deepEqual(await shown(), []);
}

const add = (name) => `alter publication supabase_realtime add table ${name}`;
const drop = (name) => `alter publication supabase_realtime drop table ${name}`;

test('a load into a table that is not published is passed over, and changes beside it arrive', async () => {
  await table('load', 'id int');
  const count = 200_000;
  const before = await stat('wal_records_skipped');
  const writing = instance.session().rows(`insert into load select generate_series(1, ${count})`, 60);
  assert.deepEqual(await shown(), []);
  await writing;
  assert.deepEqual(await shown(), []);
  // Both decoders have skipped each row.
  await until(
    () => 'all rows to be skipped',
    async () => (await stat('wal_records_skipped')) - before >= 2 * count,
  );
});

describe('a table that is published, or no longer, while others write', () => {
  test('between an insert and its commit', async () => {
    await table('enters');
    const a = instance.session();
    await a.rows('begin; insert into enters values (1)');
    await instance.rows(add('enters'));
    await a.rows('insert into enters values (2)');
    await a.rows('commit');
    await instance.rows('insert into enters values (3)');
    assert.deepEqual(await shown(), ['enters INSERT 2', 'enters INSERT 3']);

    await a.rows('begin; insert into enters values (4)');
    await instance.rows(drop('enters'));
    await a.rows('insert into enters values (5)');
    await a.rows('commit');
    await instance.rows('insert into enters values (6)');
    assert.deepEqual(await shown(), ['enters INSERT 4']);
  });

  test('in the transaction that writes, in its subtransactions, and in one that is rolled back', async () => {
    await table('within');
    const a = instance.session();
    await a.rows(`begin; insert into within values (1); ${add('within')}; insert into within values (2); commit`);
    await a.rows(`begin; ${drop('within')}; insert into within values (3); rollback`);
    await a.rows('insert into within values (4)');
    await a.rows(`begin; savepoint s; ${drop('within')}; insert into within values (5); rollback to s;
      insert into within values (6); commit`);
    await a.rows(`begin; savepoint s; ${drop('within')}; insert into within values (7); release s;
      insert into within values (8); commit`);
    await a.rows(`begin; savepoint s; ${add('within')}; insert into within values (9); rollback to s;
      insert into within values (10); commit`);
    await a.rows('insert into within values (11)');
    assert.deepEqual(await shown(), ['within INSERT 2', 'within INSERT 4', 'within INSERT 6']);
  });

  test('while what was learned is forgotten and learned again', async () => {
    await table('again');
    const a = instance.session();
    await a.rows(`begin; ${add('again')}`);
    await instance.rows('alter table other add column if not exists more int; insert into again values (1)');
    assert.deepEqual(await shown(), []);
    await instance.rows('alter table other drop column more; insert into again values (2)');
    assert.deepEqual(await shown(), []);
    await a.rows('commit');
    await instance.rows('insert into again values (3)');
    assert.deepEqual(await shown(), ['again INSERT 3']);

    const b = instance.session();
    await b.rows('begin; insert into again values (4)');
    await a.rows(drop('again'));
    await instance.rows('insert into again values (5)');
    assert.deepEqual(await shown(), []);
    await a.rows(add('again'));
    await b.rows('insert into again values (6); commit');
    assert.deepEqual(await shown(), ['again INSERT 4', 'again INSERT 6']);
  });

  test('with rows that ON CONFLICT inserts', async () => {
    await table('conflict');
    const upsert = (id) => `insert into conflict values (${id}) on conflict (id) do update set body = excluded.body || 'x'`;
    const a = instance.session();
    await a.rows(`begin; ${upsert(1)}`);
    await instance.rows(add('conflict'));
    await a.rows(`${upsert(2)}; ${upsert(2)}; commit`);
    await instance.rows(`${drop('conflict')}; ${upsert(3)}; ${add('conflict')}; ${upsert(4)}`);
    assert.deepEqual(await shown(), ['conflict INSERT 2', 'conflict UPDATE 2', 'conflict INSERT 4']);
  });

  test('with values out of line', async () => {
    await table('toasted');
    await instance.rows('alter table toasted alter body set storage external');
    const a = instance.session();
    await a.rows(`begin; insert into toasted select 1, ${BODY}`);
    await instance.rows(add('toasted'));
    await a.rows(`insert into toasted select 2, ${BODY}; update toasted set id = 3 where id = 1; commit`);
    const changes = await come();
    assert.deepEqual(changes.map(show), ['toasted INSERT 2', 'toasted UPDATE 3']);
    assert.equal(changes[0].record.body.length, 6400);
    assert.equal('body' in changes[1].record, false);

    await instance.rows(`${drop('toasted')}; insert into toasted select 4, ${BODY}; vacuum full toasted;
      insert into toasted select 5, ${BODY}; ${add('toasted')}; insert into toasted select 6, ${BODY}`);
    assert.deepEqual(await shown(), ['toasted INSERT 6']);
  });
});

test('a TOAST table that is made anew belongs to its table still', async () => {
  await table('moved');
  await instance.rows('alter table moved alter body set storage external');
  await instance.rows(`insert into moved select 1, ${BODY}`);
  const toast = await instance.value("select reltoastrelid::regclass from pg_class where relname = 'moved'");
  await instance.rows(`vacuum full ${toast}`);
  await instance.rows(`insert into moved select g, ${BODY} from generate_series(2, 9) g; insert into other values (100)`);
  await instance.rows(`delete from moved; truncate moved; insert into moved select 1, ${BODY}; insert into other values (101)`);
  assert.deepEqual(await shown(), ['other INSERT 100', 'other INSERT 101']);
});

test('DDL in a subtransaction of a load that is passed over', async () => {
  await table('big');
  const a = instance.session();
  await a.rows('begin; insert into big select generate_series(1, 1000)');
  await a.rows(`savepoint a; insert into big values (1001); create table made (id int primary key);
    ${add('made')}; insert into made values (1); release a`);
  await a.rows('insert into big values (1002)');
  await a.rows('savepoint b; insert into big values (1003); insert into other values (200); rollback to b');
  await a.rows('savepoint c; insert into big values (1004); insert into other values (201); release c');
  await a.rows('alter table made add column body text; insert into made values (2, \'x\')');
  await a.rows('savepoint d; insert into big values (1005); drop table made; rollback to d; insert into made values (3)');
  await a.rows('commit');
  assert.deepEqual(await shown(), ['made INSERT 1', 'other INSERT 201', 'made INSERT 2', 'made INSERT 3']);
});

describe('other ways into the publication', () => {
  test('a schema', async () => {
    await instance.rows(`create schema stage; grant usage on schema stage to anon;
      create table stage.visit (id int primary key);
      create table visit (id int primary key)`);
    await instance.rows('insert into stage.visit values (1); insert into visit values (1)');
    assert.deepEqual(await shown(), []);
    await instance.rows('alter publication supabase_realtime add tables in schema public');
    await instance.rows('insert into stage.visit values (2); insert into visit values (2)');
    await instance.rows('alter table visit set schema stage; insert into stage.visit values (3)').catch(() => {});
    await instance.rows(`drop table stage.visit; alter table visit set schema stage`);
    await instance.rows('insert into stage.visit values (4)');
    await instance.rows('alter table stage.visit set schema public; insert into visit values (5)');
    await instance.rows('alter publication supabase_realtime drop tables in schema public; insert into visit values (6)');
    assert.deepEqual(await shown(), ['visit INSERT 2', 'visit INSERT 5']);
  });

  test('an ancestor', async () => {
    await instance.rows(`create table leaf (id int primary key); insert into leaf values (1);
      create table middle (id int primary key) partition by range (id);
      alter table middle attach partition leaf for values from (0) to (1000);
      create table top (id int primary key) partition by range (id);
      insert into leaf values (2)`);
    assert.deepEqual(await shown(), []);
    await instance.rows(`${add('top')}; insert into leaf values (3);
      alter table top attach partition middle for values from (0) to (1000);
      insert into leaf values (4); insert into top values (5)`);
    assert.deepEqual(await shown(), ['leaf INSERT 4', 'leaf INSERT 5']);
    await instance.rows('alter table top detach partition middle; insert into leaf values (6)');
    assert.deepEqual(await shown(), []);
  });

  test('another publication by a reload', async () => {
    await table('reloaded');
    await instance.rows('create publication everything for all tables');
    await instance.set('realtime.publication', "'everything'");
    await until('the reload', async () => {
      await instance.rows("insert into reloaded select coalesce(max(id), 0) + 1 from reloaded");
      return (await shown()).some((line) => line.startsWith('reloaded'));
    });
    await instance.set('realtime.publication', 'default');
    await until('the reload', async () => {
      await instance.rows("insert into reloaded select coalesce(max(id), 0) + 1 from reloaded");
      return !(await shown()).some((line) => line.startsWith('reloaded'));
    });
  });
});

// ---------------------------------------------------------------------------------------------------------------------

// A pseudo-random number generator, so that a failure can be had again.
function random(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

test('what comes is what pgoutput decodes, in the same order', { timeout: 180_000 }, async () => {
  const seed = Number(process.env.SEED ?? 1);
  const pick = random(seed);
  const tables = ['r0', 'r1', 'r2', 'r3'];
  await instance.rows(tables.map((name) => `create table ${name} (id int primary key, body text);
    alter table ${name} alter body set storage external`).join(';'));
  assert.deepEqual(await shown(), []);
  await instance.rows("select pg_create_logical_replication_slot('oracle', 'pgoutput')");
  let id = 1000;
  const statement = () => {
    const name = tables[pick(tables.length)];
    switch (pick(16)) {
      case 0: return add(name);
      case 1: return drop(name);
      case 2: return `alter table ${name} add column if not exists extra int`;
      case 3: return `alter table ${name} drop column if exists extra`;
      case 4: return `insert into ${name} select ${++id}, ${BODY}`;
      case 5: return `insert into ${name} select g, ${BODY} from generate_series(${id + 1}, ${(id += 5)}) g`;
      case 6: return `copy ${name} (id, body) from program 'for i in 1 2 3 4; do echo $((${id} + i))"	$(printf "%5000s" x)"; done | tr -d \\"'; select ${(id += 4)}`;
      case 7: return `insert into ${name} values (${++id}) on conflict do nothing`;
      case 8: return `insert into ${name} select ${++id}, ${BODY} on conflict (id) do update set body = 'again'`;
      case 9: return `update ${name} set body = 'x' where id = (select max(id) from ${name})`;
      case 10: return `delete from ${name} where id = (select min(id) from ${name})`;
      case 11: return `truncate ${name}`;
      case 12: return 'create table if not exists gone (id int); drop table gone';
      default: return `insert into ${name} values (${++id})`;
    }
  };
  const block = () => {
    const some = Array.from({ length: 1 + pick(4) }, statement);
    const end = ["select pg_logical_emit_message(true, 'oracle', '')", 'commit'];
    switch (pick(6)) {
      case 0: return ['begin', ...some, 'rollback'];
      case 1: return ['begin', ...some, 'savepoint s', statement(), statement(), 'rollback to s', statement(), ...end];
      case 2: return ['begin', ...some, 'savepoint s', statement(), statement(), 'release s', statement(), ...end];
      default: return ['begin', ...some, ...end];
    }
  };
  const writers = await Promise.all(Array.from({ length: 4 }, async () => {
    const session = instance.session();
    await session.rows("set lock_timeout = '200ms'; set synchronous_commit = off; set client_min_messages = warning");
    return session;
  }));
  await Promise.all(writers.map(async (session) => {
    for (let n = 0; n < 120; n++) {
      for (const line of block()) {
        await session.run(line);
      }
      await session.run('rollback');
    }
  }));
  const mine = (await shown()).filter((line) => /^r\d/.test(line));
  const theirs = (await decodedOneByOne(instance, 'oracle')).filter((line) => /^r\d/.test(line));
  await instance.rows("select pg_drop_replication_slot('oracle')");
  assert.ok(theirs.length > 100, `${theirs.length} changes`);
  assert.deepEqual(mine.map((line) => (line.includes('UPDATE') ? line.replace(/ \d+$/, '') : line)), theirs, `seed ${seed}`);
});
