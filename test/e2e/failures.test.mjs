// What goes wrong says so: one clear line in the server's log with a hint, a row in realtime.health(),
// and an answer for the client, never a hang.

import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { Instance, freePort } from './lib/instance.mjs';
import { request } from './lib/http.mjs';
import { health, member, workers } from './lib/member.mjs';
import { until } from './lib/poll.mjs';

// Starts an instance, has it tested, and ends it.
async function withInstance(options, work) {
  const instance = await Instance.start(options);
  try {
    await work(instance);
  } finally {
    await instance.destroy();
  }
}

const createExtension = (instance) => instance.rows('create extension realtime; select realtime.setup_supabase()');

// Waits until health() has a row that is not ok and matches, with a hint.
function unhealthy(instance, pattern) {
  let last;
  return until(
    () => `a row of health() that is not ok and matches ${pattern}: ${JSON.stringify(last)}`,
    async () => {
      last = await health(instance);
      return last.find(({ check, ok, detail, hint }) => !ok && hint && pattern.test(`${check} ${detail} ${hint}`));
    },
  );
}

// Waits until no row of health() that matches is not ok.
function healthy(instance, pattern, seconds = 20) {
  let last;
  return until(
    () => `health() is well again: ${JSON.stringify(last)}`,
    async () => {
      last = await health(instance);
      return !last.some(({ check, ok, detail, hint }) => !ok && pattern.test(`${check} ${detail} ${hint}`));
    },
    { seconds },
  );
}

// Waits for a line of the log that matches, itself or with the hint that follows it, and has a hint.
// Returns how many lines say the same.
async function logged(instance, pattern) {
  let log;
  const isLine = (line) => /(LOG|WARNING|ERROR|FATAL): /.test(line);
  const line = await until(
    () => `a line in the log that matches ${pattern}, with a hint:\n${log.slice(-3000)}`,
    async () => {
      log = await instance.logSince();
      const lines = log.split('\n');
      return lines.find((text, i) => {
        const hint = lines.slice(i + 1, i + 4).find((next) => next.includes('HINT: '));
        return isLine(text) && hint && pattern.test(text + hint);
      });
    },
  );
  const message = line.slice(line.search(/(LOG|WARNING|ERROR|FATAL): /));
  return { line, count: log.split('\n').filter((text) => text.endsWith(message)).length };
}

// Occupies a port until released.
async function occupy() {
  const server = createServer((socket) => socket.destroy()).unref();
  const port = await freePort();
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return { port, release: () => new Promise((resolve) => server.close(resolve)) };
}

describe('what goes wrong says so', { concurrency: 3 }, () => {
  test('not preloaded', () =>
    withInstance({ extension: false, settings: [`shared_preload_libraries = ''`] }, async (instance) => {
      await createExtension(instance);
      const row = await unhealthy(instance, /shared_preload_libraries/);
      assert.match(row.hint, /restart/i);
      const { notices } = await instance.sql('select * from realtime.workers');
      assert.match(notices.join('\n'), /ERROR:.*/);
      assert.match(notices.join('\n'), /HINT:.*shared_preload_libraries/);
      await logged(instance, /realtime.*(preload|shared_preload_libraries)/i);
    }));

  test('wal_level is not logical', () =>
    withInstance({ settings: ['wal_level = replica'] }, async (instance) => {
      await unhealthy(instance, /wal_level/);
      const { count } = await logged(instance, /wal_level/);
      assert.ok(count <= 2, `it is said ${count} times`);
      // Clients still reach each other, and are told that the database does not reach them.
      const self = await member(instance, 'w', { ready: false, config: { broadcast: { self: true, ack: true } } });
      await until(() => `a system error about wal_level: ${JSON.stringify(self.systems)}`, () =>
        self.systems.some(({ status, message }) => status === 'error' && /wal_level/.test(message)));
      const ref = self.push('broadcast', { type: 'broadcast', event: 'e', payload: {} });
      await until('the ack', () => self.replies.get(ref)?.status === 'ok');
      assert.equal(self.messages.length, 1);
    }));

  test('no jwt_secret', () =>
    withInstance({ settings: [`realtime.jwt_secret = ''`] }, async (instance) => {
      await unhealthy(instance, /jwt_secret/);
      await logged(instance, /jwt_secret/);
      const answer = await request(instance.port, {
        path: `/socket/websocket?apikey=${instance.token()}&vsn=2.0.0`,
        headers: {
          connection: 'Upgrade',
          upgrade: 'websocket',
          'sec-websocket-version': '13',
          'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        },
      });
      assert.ok(answer.status >= 400, `status ${answer.status}`);
      assert.match(answer.headers['content-type'], /^application\/json/);
      assert.match(JSON.parse(answer.body).error, /JWT secret/);
      await instance.set('realtime.jwt_secret', `'${instance.secret}'`);
      await until('clients are accepted', async () => (await instance.connect()).drop() ?? true);
      await healthy(instance, /jwt_secret/);
    }));

  test('the port is taken, and then is not', async () => {
    const { port, release } = await occupy();
    await withInstance({ extension: false, settings: [`realtime.port = ${port}`] }, async (instance) => {
      await createExtension(instance);
      await unhealthy(instance, new RegExp(`\\b${port}\\b`));
      await logged(instance, new RegExp(`\\b${port}\\b`));
      await release();
      await until('the listener has the port', async () => (await request(port, { path: '/healthcheck' }, 2)).status === 200, { seconds: 30 });
      await healthy(instance, new RegExp(`\\b${port}\\b`));
    });
  });

  test('a listen address that does not exist', () =>
    withInstance({ extension: false, settings: [`realtime.listen_addresses = '192.0.2.77'`] }, async (instance) => {
      await createExtension(instance);
      await unhealthy(instance, /192\.0\.2\.77/);
      await logged(instance, /192\.0\.2\.77/);
    }));

  test('one listen address that does not exist beside one that does', () =>
    withInstance({ settings: [`realtime.listen_addresses = '192.0.2.77, localhost'`] }, async (instance) => {
      (await instance.connect()).drop();
      await unhealthy(instance, /192\.0\.2\.77/);
    }));

  test('not enough worker processes', () =>
    withInstance({ extension: false, settings: ['max_worker_processes = 2'], listeners: 2 }, async (instance) => {
      await createExtension(instance);
      const row = await unhealthy(instance, /max_worker_processes/);
      assert.match(`${row.detail} ${row.hint}`, /\d/);
      await logged(instance, /max_worker_processes|worker processes/);
    }));

  test('the extension is absent, then there, then dropped', () =>
    withInstance({ extension: false }, async (instance) => {
      const { count } = await logged(instance, /realtime/);
      assert.ok(count >= 1);
      await assert.rejects(request(instance.port, { path: '/healthcheck' }, 2));
      await createExtension(instance);
      await until('the port answers', async () => (await request(instance.port, { path: '/healthcheck' }, 2)).status === 200);
      await instance.rows('drop extension realtime');
      await until('the port is closed', async () => {
        try {
          await request(instance.port, { path: '/healthcheck' }, 2);
          return false;
        } catch {
          return true;
        }
      });
    }));

  test('realtime.database does not exist, until it does', () =>
    withInstance({ extension: false, settings: [`realtime.database = 'app'`] }, async (instance) => {
      await logged(instance, /database "?app"?|realtime\.database/);
      await instance.rows('create database app');
      const app = instance.session({ database: 'app' });
      await app.rows('create extension realtime; select realtime.setup_supabase()');
      await until('the port answers', async () => (await request(instance.port, { path: '/healthcheck' }, 2)).status === 200, { seconds: 60 });
      app.close();
    }));

  test('when nothing is wrong, every check is ok', () =>
    withInstance({ listeners: 3 }, async (instance) => {
      let last;
      await until(() => JSON.stringify(last), async () => {
        last = await health(instance);
        return last.length >= 5 && last.every(({ ok }) => ok === true);
      });
      for (const { check, detail } of last) {
        assert.ok(check && detail !== null, `${check}: ${detail}`);
      }
      const all = await workers(instance);
      assert.deepEqual(all.map(({ kind }) => kind).sort(), [
        'realtime authorizer', 'realtime authorizer', 'realtime change decoder', 'realtime changes', 'realtime decoder',
        'realtime launcher', 'realtime listener', 'realtime listener', 'realtime listener',
      ]);
      const asleep = ({ kind }) => /change/.test(kind);
      assert.ok(all.every((worker) => worker.state === (asleep(worker) ? 'sleeping' : 'running') && worker.pid > 0), JSON.stringify(all));
    }));
});
