// The authorizers: bounded, soon, and at nobody else's cost.

import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { readFrame } from './lib/frames.mjs';
import { workers } from './lib/member.mjs';
import { until } from './lib/poll.mjs';
import { median } from './lib/times.mjs';

const SETUP = `
  select realtime.setup_supabase();
  create policy sleeps on realtime.messages for select to authenticated
    using (case when topic like 'sleep-%' then pg_sleep(split_part(topic, '-', 2)::float / 1000) is not null else topic like 'quick-%' end);
  create table public.members (user_id uuid, topic text, primary key (user_id, topic));
  insert into public.members select '11111111-1111-4111-8111-111111111111', 'member-' || n from generate_series(1, 20000) n;
  grant select on public.members to authenticated;
  create policy members on realtime.messages for select to authenticated using (exists (
    select 1 from public.members m where m.user_id = (select auth.uid()) and m.topic = (select realtime.topic())));
  analyze public.members;
`;
const TOO_MANY = /^TooManyRequests: too many policies wait to be evaluated, try again in (\d+) ms$/;

let number = 0;
const sockets = [];
afterEach(() => sockets.splice(0).forEach((socket) => socket.drop()));

// A client that joins private topics and knows when each was answered.
async function client(instance) {
  const joins = new Map();
  const socket = await instance.connect({
    key: instance.token('authenticated', { sub: '11111111-1111-4111-8111-111111111111' }),
    onFrame: (frame) => {
      const { event, topic, ref, payload } = readFrame(frame);
      if (event === 'phx_reply') {
        const join = joins.get(topic === 'phoenix' ? ref : topic);
        Object.assign(join, { took: performance.now() - join.began, status: payload.status, reason: payload.response.reason, retry: payload.response.retry_after_ms });
      }
    },
  });
  sockets.push(socket);
  return {
    socket,
    join(kind, padding) {
      const topic = `realtime:${kind}${kind.startsWith('member') ? '' : `-${++number}`}`;
      const join = { began: performance.now() };
      joins.set(topic, join);
      socket.sendJson(['1', '1', topic, 'phx_join', { config: { private: true }, padding }]);
      return join;
    },
    heartbeat() {
      const ref = `hb ${++number}`;
      const beat = { began: performance.now() };
      joins.set(ref, beat);
      socket.sendJson([null, ref, 'phoenix', 'heartbeat', {}]);
      return beat;
    },
  };
}

const answered = (joins, seconds = 10) =>
  until(() => `${joins.length} answers, ${joins.filter(({ status }) => status).length} came`, () => joins.every(({ status }) => status), { seconds, every: 5 });

const times = (count, make) => Array.from({ length: count }, (_, i) => make(i));

function quantile(list, q) {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];
}

describe('with the settings as they are', () => {
  let instance;
  before(async () => {
    instance = await Instance.start({ settings: ['fsync = off', 'autovacuum = off', 'checkpoint_timeout = 1h'] });
    await instance.rows(SETUP);
  });
  after(() => instance?.destroy());

  test('a policy past policy_timeout is canceled, and the next question is answered', async () => {
    const one = await client(instance);
    const slow = one.join('sleep-5000');
    const quick = one.join('quick');
    await answered([slow, quick]);
    assert.equal(slow.reason, 'QueryCanceled: The policies of this topic took longer than realtime.policy_timeout');
    assert.ok(slow.took > 900 && slow.took < 4500, `${slow.took} ms`);
    assert.equal(quick.status, 'ok');
    let canceled = 0;
    for (let i = 0; i < 50; i++) {
      // One that ends just when its time is over must not cancel the one after it; the machine may make one take too long.
      const [edge, next] = [one.join('sleep-200'), one.join('quick')];
      await answered([edge, next]);
      canceled += next.status !== 'ok';
      if (i === 0) {
        await instance.set('realtime.policy_timeout', "'200ms'");
        await until('the setting is read', async () => (await instance.value('show realtime.policy_timeout')) === '200ms');
      }
    }
    assert.ok(canceled <= 1, `${canceled} were canceled`);
    await instance.set('realtime.policy_timeout', "'5s'");
    await until('the setting is read', async () => {
      const long = one.join('sleep-1200');
      await answered([long]);
      return long.status === 'ok';
    });
    for (const { restarts } of await workers(instance, 'authorizer')) {
      assert.equal(restarts, 0);
    }
  });

  test('what waits for answers is bounded in bytes: more is refused at once', async () => {
    const one = await client(instance);
    const joins = times(3, () => one.join('sleep-2000', 'x'.repeat(3_500_000)));
    await answered(joins);
    assert.deepEqual(joins.map(({ status }) => status), ['ok', 'ok', 'error']);
    assert.match(joins[2].reason, TOO_MANY);
    assert.ok(joins[2].took < Math.min(joins[0].took, joins[1].took), `${joins[2].took} ms`);
    assert.equal(joins[2].retry, 1000);
    const again = one.join('quick', 'x'.repeat(3_500_000));
    await answered([again]);
    assert.equal(again.status, 'ok');
  });

  test('the questions of an authorizer that ends are asked again, and all are answered', async () => {
    const clients = await Promise.all(times(4, () => client(instance)));
    const joins = times(40, (i) => clients[i % 4].join('sleep-100'));
    const ended = [];
    for (let i = 0; i < 2; i++) {
      await until('questions are being answered', async () => {
        const pids = await instance.rows(`select pid from pg_stat_activity where backend_type = 'realtime authorizer' and wait_event = 'PgSleep'`);
        const pid = pids.find((other) => !ended.includes(other));
        if (pid) {
          ended.push(pid);
          await instance.rows(`select pg_terminate_backend(${pid})`);
        }
        return pid;
      }, { every: 5 });
    }
    await answered(joins);
    assert.deepEqual(joins.filter(({ status }) => status !== 'ok'), []);
    await until('both are back', async () => (await workers(instance, 'authorizer')).filter(({ state }) => state === 'running').length === 2);
  });

  test('cancelling an authorizer hurts nobody', async () => {
    const one = await client(instance);
    const pids = await instance.rows(`select pid from realtime.workers where kind = 'realtime authorizer'`);
    for (let i = 0; i < 20; i++) {
      await instance.rows(`select pg_cancel_backend(pid) from realtime.workers where kind = 'realtime authorizer'`);
      const join = one.join('quick');
      await answered([join]);
      // Its own question may have been the one that was cancelled.
      assert.ok(join.status === 'ok' || /^QueryCanceled/.test(join.reason), JSON.stringify(join));
    }
    assert.deepEqual(await instance.rows(`select pid from realtime.workers where kind = 'realtime authorizer'`), pids);
  });

  test('while 500 joins wait for a policy that sleeps, heartbeats of others do not', async () => {
    const clients = await Promise.all(times(20, () => client(instance)));
    const other = await client(instance);
    const joins = times(500, (i) => clients[i % 20].join('sleep-200'));
    const beats = [];
    while (joins.some(({ status }) => !status)) {
      const beat = other.heartbeat();
      beats.push(beat);
      await until('a heartbeat', () => beat.status, { every: 1 });
      assert.ok(performance.now() - joins[0].began < 15_000, 'all are answered in time');
    }
    const [p50, p99] = [0.5, 0.99].map((q) => quantile(beats.map(({ took }) => took), q));
    assert.ok(beats.length > 200, `${beats.length} heartbeats`);
    // One that waits for a policy takes 200 ms at least.
    assert.ok(p50 <= 20 && p99 <= 150, `of ${beats.length} heartbeats: p50 ${p50} ms, p99 ${p99} ms`);
    for (const { status, reason, took } of joins) {
      assert.ok(status === 'ok' || TOO_MANY.test(reason), reason);
      assert.ok(took < 7000, `answered after ${took} ms`);
    }
    // Two authorizers, 200 ms each: fifty fit into five seconds.
    const let_in = joins.filter(({ status }) => status === 'ok').length;
    assert.ok(let_in >= 20 && let_in <= 80, `${let_in} were let in`);
    await until('the queue moves again', async () => {
      const join = other.join('quick');
      await answered([join]);
      return join.status === 'ok';
    });
  });

  test('10,000 private joins write no WAL and no row', async () => {
    const warm = await client(instance);
    await answered([warm.join('quick'), warm.join('member-1')]);
    await instance.rows('create extension pg_walinspect');
    await instance.rows('checkpoint');
    await instance.rows('select pg_stat_force_next_flush()');
    const state = async () => ({
      lsn: await instance.value('select pg_current_wal_insert_lsn()'),
      rows: await instance.value(`select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) from pg_stat_all_tables`),
      xid: await instance.value('select pg_snapshot_xmax(pg_current_snapshot())'),
    });
    const before = await state();
    let count = 0;
    let member = 1;
    for (let s = 0; s < 100; s++) {
      const one = await client(instance);
      for (let batch = 0; batch < 4; batch++) {
        const joins = times(25, (i) => one.join(i % 2 ? 'quick' : `member-${++member}`));
        await answered(joins);
        count += joins.filter(({ status }) => status === 'ok').length;
      }
      one.socket.drop();
    }
    assert.equal(count, 10_000);
    const after = await state();
    // The background writer may note the running transactions meanwhile. Who reads a page that nobody has tidied yet tidies
    // it, or notes in it what is committed.
    await instance.rows('checkpoint'); // pg_walinspect reads only what is flushed
    const records = after.lsn === before.lsn ? [] : await instance.rows(`select resource_manager, record_type, description, block_ref
      from pg_get_wal_records_info('${before.lsn}', '${after.lsn}')
      where record_type not in ('RUNNING_XACTS', 'FPI_FOR_HINT') and record_type not like 'PRUNE%'`);
    assert.deepEqual(records, []);
    assert.equal(after.rows, before.rows);
    assert.equal(after.xid, before.xid, 'no transaction id was used');
  });
});

describe('with narrow bounds', () => {
  let instance;
  before(async () => {
    instance = await Instance.start({
      settings: ['fsync = off', 'realtime.authorizers = 1', 'realtime.max_questions = 16', 'realtime.max_questions_per_client = 5'],
    });
    await instance.rows(SETUP);
  });
  after(() => instance?.destroy());

  test('a client at its bound is refused at once, another is served', async () => {
    const [greedy, modest] = [await client(instance), await client(instance)];
    const joins = times(12, () => greedy.join('sleep-200'));
    const quick = modest.join('quick');
    const refused = joins.slice(5);
    await answered(refused);
    for (const { reason } of refused) {
      assert.match(reason, TOO_MANY);
    }
    const took = median(refused.map((join) => join.took));
    assert.ok(took < 200, `${took} ms`);
    await answered([...joins, quick]);
    assert.ok(joins.slice(0, 5).every(({ status }) => status === 'ok'));
    assert.equal(quick.status, 'ok');
  });

  test('a full queue refuses at once and says when to try again', async () => {
    const clients = await Promise.all(times(8, () => client(instance)));
    const joins = times(40, (i) => clients[i % 8].join('sleep-150'));
    await answered(joins);
    const refused = joins.filter(({ status }) => status !== 'ok');
    assert.ok(refused.length >= 24, `${refused.length} were refused`);
    for (const { reason, retry } of refused) {
      assert.equal(retry, Number(TOO_MANY.exec(reason)[1]));
    }
    const took = median(refused.map((join) => join.took));
    assert.ok(took < 300, `${took} ms`);
    // The hint is worth following.
    const wait = Math.max(...refused.map(({ reason }) => Number(TOO_MANY.exec(reason)[1])));
    assert.ok(wait > 0 && wait <= 60_000, `${wait}`);
    const again = clients[0].join('quick');
    await answered([again]);
    assert.equal(again.status, 'ok');
  });

  test('what waits and cannot be answered within five seconds is refused', async () => {
    const clients = await Promise.all(times(4, () => client(instance)));
    // It is quick at first, so that the queue looks short.
    const quick = times(8, (i) => clients[i % 4].join('quick'));
    await answered(quick);
    const joins = times(14, (i) => clients[i % 4].join('sleep-900'));
    await answered(joins, 12);
    const late = joins.filter(({ status }) => status !== 'ok');
    assert.ok(late.length >= 5, `${late.length} were refused`);
    for (const { reason, took } of late) {
      assert.match(reason, TOO_MANY);
      assert.ok(took < 6500, `${took} ms`);
    }
    assert.ok(joins.some(({ status }) => status === 'ok'));
  });

  test('without an authorizer a join is refused after the deadline, and let in when it is back', async () => {
    const one = await client(instance);
    const [{ pid }] = await workers(instance, 'authorizer');
    process.kill(pid, 'SIGSTOP');
    let join;
    try {
      join = one.join('quick');
      await answered([join], 12);
      assert.match(join.reason, TOO_MANY);
      assert.ok(join.took >= 5000 && join.took < 8000, `${join.took} ms`);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    const again = one.join('quick');
    await answered([again]);
    assert.equal(again.status, 'ok');
  });
});
