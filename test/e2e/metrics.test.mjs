// /metrics: are the figures right, does promtool take the text, and who may read it?

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import { Instance } from './lib/instance.mjs';
import { request } from './lib/http.mjs';
import { fence, member, workers } from './lib/member.mjs';
import { until } from './lib/poll.mjs';

// An address of this host that is none of its loopback.
const outside = Object.values(networkInterfaces()).flat().find(({ internal, family }) => !internal && family === 'IPv4')?.address;

// What `promtool check metrics` says of a text: { code, output }.
function promtool(text) {
  return new Promise((resolve, reject) => {
    const child = spawn('promtool', ['check', 'metrics']);
    let output = '';
    child.stdout.on('data', (data) => (output += data));
    child.stderr.on('data', (data) => (output += data));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output }));
    child.stdin.end(text);
  });
}

// Samples by name and labels, as they are written.
function samples(text) {
  return new Map(text.split('\n').filter((line) => line && !line.startsWith('#')).map((line) => {
    const at = line.lastIndexOf(' ');
    return [line.slice(0, at), Number(line.slice(at + 1))];
  }));
}

async function scrape(instance) {
  const { status, headers, body } = await instance.get('/metrics');
  assert.equal(status, 200);
  assert.equal(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
  return String(body);
}

// Waits until the samples have these values.
function metrics(instance, expected) {
  let last;
  return until(
    () => JSON.stringify(Object.fromEntries(Object.keys(expected).map((name) => [name, last.get(name)]))),
    async () => {
      last = samples(await scrape(instance));
      return Object.entries(expected).every(([name, value]) =>
        typeof value === 'function' ? value(last.get(name)) : last.get(name) === value);
    },
  );
}

describe('figures', () => {
  let instance;
  before(async () => {
    instance = await Instance.start({ listeners: 2, settings: ['fsync = off', 'realtime.max_clients = 777', 'realtime.client_queue_size = 64MB', 'realtime.client_queue_soft = 64MB'] });
    await instance.rows('create policy p on realtime.messages using (true) with check (true)');
  });
  after(() => instance?.destroy());

  test('they follow what happens', async () => {
    await metrics(instance, { realtime_connections_connected: 0, realtime_channels: 0, realtime_replication_ready: 1 });
    const before = samples(await scrape(instance));
    const more = (name, n) => ({ [name]: (value) => value === before.get(name) + n });
    const a = await member(instance, 'm', { config: { private: true, broadcast: { self: true, ack: true }, presence: { enabled: true } } });
    const b = await member(instance, 'm', { config: { private: true } });
    await assert.rejects(member(instance, '', { ready: false }), /refused/);
    const ref = a.push('broadcast', { type: 'broadcast', event: 'e', payload: { text: 'x'.repeat(300) } });
    await until('the ack', () => a.replies.get(ref)?.status === 'ok');
    a.push('presence', { type: 'presence', event: 'track', payload: { who: 'a' } });
    await instance.rows(`select realtime.send('{}', 'd', 'm') from generate_series(1, 3)`);
    await until('the messages', () => [a, b].every(({ messages }) => messages.filter(({ event }) => event === 'd').length === 3));
    await metrics(instance, {
      realtime_connections_connected: 2,
      phoenix_connections_active: 2,
      phoenix_connections_max: 777,
      realtime_channels: 2,
      realtime_private_channels: 2,
      ...more('realtime_channel_joins', 2),
      ...more('phoenix_channel_joined_total{result="ok",transport="websocket"}', 2),
      ...more('phoenix_channel_joined_total{result="error",transport="websocket"}', 1),
      ...more('realtime_channel_events', 4),
      ...more('realtime_broadcasts_from_clients_total', 1),
      ...more('realtime_broadcasts_from_database_total', 3),
      ...more('realtime_channel_presence_events', 1),
      ...more('realtime_payload_size_count{message_type="broadcast"}', 4),
      ...more('realtime_payload_size_bucket{message_type="broadcast",le="64"}', 3),
      ...more('realtime_payload_size_bucket{message_type="broadcast",le="256"}', 3),
      ...more('realtime_payload_size_bucket{message_type="broadcast",le="1024"}', 4),
      ...more('realtime_payload_size_bucket{message_type="broadcast",le="+Inf"}', 4),
      ...more('realtime_payload_size_count{message_type="presence"}', 1),
      // A policy that has just been made may have them judged twice.
      realtime_tenants_read_authorization_check_count: (value) => value >= 2,
      realtime_tenants_write_authorization_check_count: (value) => value >= 1,
      realtime_tenants_broadcast_from_database_latency_committed_at_sum: (value) => value > 0,
      // Each listener that has members of the topic counts it.
      realtime_tenants_broadcast_from_database_latency_committed_at_count: (value) => value >= 3 && value <= 6,
      realtime_channel_input_bytes: (value) => value > before.get('realtime_channel_input_bytes') + 300,
      realtime_channel_output_bytes: (value) => value > before.get('realtime_channel_output_bytes') + 600,
      realtime_partitions: (value) => value === 5 || value === 6, // six once it is midnight
      realtime_oldest_partition_timestamp_seconds: (value) => value % 86400 === 0 && Math.abs(Date.now() / 1000 - 86400 - value) < 2 * 86400,
      realtime_queued_bytes: 0,
    });
    a.socket.drop();
    b.socket.drop();
    await metrics(instance, { realtime_connections_connected: 0, realtime_channels: 0, realtime_private_channels: 0 });
  });

  test('bytes that a client does not read are in realtime_queued_bytes, and go with it', async () => {
    const self = await member(instance, 'slow');
    self.socket.pause();
    await instance.rows(`select realtime.send(jsonb_build_object('text', repeat('x', 100000)), 'e', 'slow', false) from generate_series(1, 200)`);
    await metrics(instance, { realtime_queued_bytes: (value) => value > 100_000 });
    assert.ok(Number(await instance.value(`select value from realtime.stats where name = 'queued_bytes'`)) > 100_000);
    self.socket.drop();
    await metrics(instance, { realtime_queued_bytes: 0 });
  });

  test('promtool takes the text, with something in every family', async () => {
    const text = await scrape(instance);
    assert.deepEqual(await promtool(text), { code: 0, output: '' });
    const names = [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name);
    assert.ok(names.length > 60 && new Set(names).size === names.length);
    for (const name of names) {
      assert.match(text, new RegExp(`^${name}(_count)?[ {]`, 'm'));
    }
    // It does refuse what is wrong.
    assert.notEqual((await promtool(text.replace(/^realtime_channels .*$/m, 'realtime_channels x'))).code, 0);
  });

  test('every setting that is a number is a limit in realtime.stats and here', async () => {
    const seconds = { ms: 1 / 1000, s: 1, min: 60 };
    const bytes = { B: 1, kB: 1024, MB: 1024 ** 2 };
    const settings = (await instance.rows(`select json_build_object('name', substr(name, 10), 'value', setting::bigint, 'unit', unit)
      from pg_settings where name like 'realtime.%' and vartype = 'integer' and name <> 'realtime.port'`)).map((row) => JSON.parse(row));
    const stats = new Map((await instance.rows('select name, value from realtime.stats')).map((row) => row.split('|')));
    const has = samples(await scrape(instance));
    assert.ok(settings.length >= 20);
    for (const { name, value, unit } of settings) {
      const [suffix, scale] = unit in seconds ? ['_seconds', seconds[unit]] : unit in bytes ? ['_bytes', bytes[unit]] : ['', 1];
      assert.equal(has.get(`realtime_settings_${name}${suffix}`), value * scale, name);
      assert.equal(Number(stats.get(name)), Math.round(value * (suffix === '_seconds' ? scale * 1000 : scale)), name);
    }
    for (const name of ['bus_lag', 'decoder_lag', 'questions_open', 'questions_waiting', 'question_time', 'wal_retained', 'queued_bytes', 'partitions', 'oldest_partition']) {
      assert.match(stats.get(name), /^\d+$/, name);
    }
  });

  test('a reload changes the limits', async () => {
    await instance.set('realtime.max_clients', '888');
    await metrics(instance, { realtime_settings_max_clients: 888, phoenix_connections_max: 888 });
  });

  test('a worker that ends is counted', async () => {
    const [{ pid }] = await workers(instance, 'launcher');
    await instance.rows(`select pg_terminate_backend(${pid})`);
    await metrics(instance, {
      'realtime_worker_restarts_total{worker="launcher",number="0"}': 1,
      'realtime_worker_running{worker="launcher",number="0"}': 1,
    });
  });

  test('any listener can be asked, and the gauges of one that ends go with it', async () => {
    const held = await Promise.all(Array.from({ length: 16 }, () => member(instance, 'held')));
    await metrics(instance, { realtime_connections_connected: 16, realtime_channels: 16 });
    for (const { pid } of await workers(instance, 'listener')) {
      await instance.rows(`select pg_terminate_backend(${pid})`);
    }
    held.forEach(({ socket }) => socket.drop());
    await metrics(instance, { realtime_connections_connected: 0, realtime_channels: 0, realtime_queued_bytes: 0 });
    const self = await member(instance, 'again');
    assert.deepEqual(await fence(instance, self), []);
    self.socket.drop();
  });
});

describe('who may', () => {
  let instance;
  before(async () => {
    instance = await Instance.start({
      settings: ['fsync = off', `realtime.listen_addresses = '*'`, `realtime.api_keys = 'sb_secret_metrics = service_role, sb_publishable_x = anon'`],
    });
  });
  after(() => instance?.destroy());

  const passedOn = { 'x-forwarded-for': '192.0.2.1' };
  const read = (headers, options = {}) => request(instance.port, { path: '/metrics', headers, ...options });
  const bearer = (key) => ({ authorization: `Bearer ${key}`, ...passedOn });

  async function refused(headers, options) {
    const { status, body } = await read(headers, options);
    assert.deepEqual([status, String(body)], [403, ''], JSON.stringify(headers));
  }
  async function allowed(headers, options) {
    const { status, body } = await read(headers, options);
    assert.equal(status, 200, JSON.stringify(headers));
    assert.match(String(body), /^realtime_connections_connected \d+$/m);
  }

  test('from this host, unless a proxy has passed it on', async () => {
    await allowed({});
    await allowed({ authorization: 'Bearer nonsense' });
    for (const name of ['X-Forwarded-For', 'Forwarded', 'X-Real-IP', 'Via']) {
      await refused({ [name]: '192.0.2.1' });
    }
  });

  test('from another address', { skip: outside ? false : 'this host has only its loopback' }, async () => {
    await refused({}, { host: outside });
    await allowed({ authorization: `Bearer ${instance.token('service_role')}` }, { host: outside });
  });

  test('with a good token of the role realtime.metrics_role', async () => {
    await allowed(bearer(instance.token('service_role')));
    await allowed({ ...passedOn, Authorization: `bearer ${instance.token('service_role')}` });
    await allowed(bearer('sb_secret_metrics'));
    await allowed(bearer(await instance.value(`select realtime.issue_token('service_role')`)));
    await refused(bearer('sb_publishable_x'));
    await refused(bearer(instance.token('anon')));
    await refused(bearer(instance.token('service_role', { exp: 1 })));
    await refused(bearer(`${instance.token('service_role')}x`));
    await refused(bearer(''));
    await refused({ ...passedOn, authorization: instance.token('service_role') });
    await refused({ ...passedOn, apikey: instance.token('service_role') });
  });

  test('realtime.metrics_role reloads, and empty lets nobody in from elsewhere', async () => {
    await instance.set('realtime.metrics_role', `'prometheus'`);
    await until('the other role', async () => (await read(bearer(instance.token('prometheus')))).status === 200);
    await refused(bearer(instance.token('service_role')));
    await instance.set('realtime.metrics_role', `''`);
    await until('no role', async () => (await read(bearer(instance.token('prometheus')))).status === 403);
    await refused(bearer(instance.token('')));
    await refused(bearer(instance.token('service_role')));
    await allowed({});
  });

  test('POST is not found', async () => {
    assert.equal((await read({}, { method: 'POST' })).status, 404);
  });
});
