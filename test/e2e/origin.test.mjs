// Which web pages may connect: realtime.allowed_origins.

import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { RawSocket } from './lib/socket.mjs';
import { request } from './lib/http.mjs';
import { until } from './lib/poll.mjs';

let instance;
before(async () => {
  instance = await Instance.start({ settings: ['fsync = off'] });
});
after(() => instance?.destroy());

// The answer to a connect with this Origin header, or none.
async function answerTo(origin) {
  const socket = new RawSocket();
  const answer = await socket.open(
    instance.port,
    `/realtime/v1/websocket?apikey=${instance.token()}&vsn=2.0.0`,
    origin === undefined ? {} : { Origin: origin },
  );
  socket.drop();
  return answer;
}

// The answer to a browser's preflight for the REST interface.
const preflight = (origin) =>
  request(instance.port, {
    method: 'OPTIONS',
    path: '/realtime/v1/api/broadcast',
    headers: { ...(origin ? { Origin: origin } : {}), 'Access-Control-Request-Method': 'POST' },
  });

// Sets the list. The listener has reloaded once it knows an origin that was never on it before.
let probes = 0;
async function allow(list) {
  const probe = `https://probe-${++probes}.example`;
  await instance.set('realtime.allowed_origins', `'${list}, ${probe}'`);
  await until('the new list', async () => (await preflight(probe)).headers['access-control-allow-origin'] === probe);
}

test('by default every page may connect', async () => {
  for (const origin of [undefined, 'https://example.com', 'null', 'http://localhost:3000']) {
    assert.equal((await answerTo(origin)).status, 101, origin);
  }
  const answer = await preflight('https://example.com');
  assert.equal(answer.status, 204);
  assert.equal(answer.headers['access-control-allow-origin'], '*');
});

test('a list: those on it, and who is no browser', async () => {
  await allow('https://example.com, http://localhost:3000');
  for (const origin of [undefined, 'https://example.com', 'HTTPS://EXAMPLE.com', 'https://example.com:443', 'http://localhost:3000']) {
    assert.equal((await answerTo(origin)).status, 101, origin);
  }
  for (const origin of ['http://example.com', 'https://example.com:8443', 'https://example.com.evil.org', 'https://sub.example.com', 'null', 'http://localhost']) {
    const answer = await answerTo(origin);
    assert.equal(answer.status, 403, origin);
    assert.deepEqual(JSON.parse(answer.body), { error: 'Origin not allowed' });
  }
});

test('the REST interface tells browsers the same', async () => {
  await allow('https://example.com');
  const allowed = await preflight('https://example.com');
  assert.equal(allowed.headers['access-control-allow-origin'], 'https://example.com');
  assert.match(allowed.headers.vary, /origin/i);
  const refused = await preflight('https://evil.org');
  assert.equal(refused.headers['access-control-allow-origin'], undefined);
  assert.match(refused.headers.vary, /origin/i);
});

test('what is no list of origins is refused as a setting', async () => {
  for (const list of ['example.com', 'https://example.com/', 'https://*.example.com', 'https://a.com, b.com']) {
    await assert.rejects(instance.rows(`alter system set realtime.allowed_origins = '${list}'`), /no origin/, list);
  }
});
