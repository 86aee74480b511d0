// TLS on the WebSocket port: supabase-js over wss, what is refused, certificates that are renewed, and those that can't be used.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import WebSocket from 'ws';
import { createClient } from '@supabase/supabase-js';
import { Authority, putFile, removeFile } from './lib/certificates.mjs';
import { VERSIONS, arrived, subscribed } from './lib/client.mjs';
import { Instance } from './lib/instance.mjs';
import { health, member, workers } from './lib/member.mjs';
import { inEveryListener, until, within } from './lib/poll.mjs';

let authority;
before(async () => {
  authority = await Authority.make();
});
after(() => authority?.remove());

// A server that serves TLS with a certificate of its own; `tls` of the instance is set for its clients.
async function startTls({ settings = [], ...options } = {}) {
  const instance = await Instance.start({ settings: ['fsync = off', ...settings], ...options });
  try {
    const { cert, key } = await authority.issue();
    await putFile(instance, 'server.crt', cert, 0o644);
    await putFile(instance, 'server.key', key);
    await instance.set('realtime.ssl', 'on');
    instance.tls = { ca: authority.certificate, servername: 'localhost' };
    await inEveryListener('TLS is served', async () => (await instance.get('/healthcheck')).status === 200);
  } catch (error) {
    await instance.destroy();
    throw error;
  }
  return instance;
}

// Shakes hands; { subject, protocol, alpnProtocol } of what came of it.
function handshake(instance, options = {}) {
  const socket = connectTls({ port: instance.port, host: '127.0.0.1', ...instance.tls, ...options });
  return within(
    10,
    'the end of a handshake',
    new Promise((resolve, reject) => {
      socket.on('error', reject);
      socket.on('close', () => reject(new Error('closed')));
      socket.on('secureConnect', () =>
        resolve({ subject: socket.getPeerCertificate().subject.CN, protocol: socket.getProtocol(), alpnProtocol: socket.alpnProtocol }));
    }),
  ).finally(() => socket.destroy());
}

// Sends bytes without TLS; what came back until the server ended the connection.
function plainly(instance, bytes) {
  const socket = connect({ port: instance.port, host: '127.0.0.1' });
  const chunks = [];
  socket.on('error', () => {});
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.write(bytes);
  return within(10, 'the end of a connection without TLS', new Promise((resolve) => {
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
  })).finally(() => socket.destroy());
}

// supabase-js with our authority, over wss.
function secureClient(instance, vsn) {
  class Trusting extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { ca: authority.certificate });
    }
  }
  return createClient(`https://localhost:${instance.port}`, instance.token(), {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    realtime: { vsn, transport: Trusting },
  });
}

async function listener(instance) {
  const rows = await health(instance);
  return rows.find(({ check }) => /listener/.test(check));
}

describe('a server with TLS', { concurrency: false }, () => {
  let instance;
  before(async () => {
    instance = await startTls({ settings: [`realtime.handshake_timeout = '3s'`, `realtime.client_queue_size = '4MB'`] });
  });
  after(() => instance?.destroy());

  for (const vsn of VERSIONS) {
    test(`supabase-js over wss, vsn ${vsn}`, async () => {
      const clients = [secureClient(instance, vsn), secureClient(instance, vsn)];
      try {
        assert.match(clients[0].realtime.endpointURL(), /^wss:/);
        const [a, b] = await Promise.all(clients.map((client) => subscribed(client, `wss-${vsn}`, { broadcast: { ack: true } })));
        assert.equal(await a.channel.send({ type: 'broadcast', event: 'e', payload: { text: 'hé' } }), 'ok');
        await arrived(b.messages, 1);
        assert.deepEqual(b.messages[0].payload, { text: 'hé' });
        await instance.rows(`select realtime.send('{"from": "database"}', 'd', 'wss-${vsn}', false)`);
        await Promise.all([arrived(a.messages, 1), arrived(b.messages, 2)]);
        assert.equal(b.messages[1].payload.from, 'database');
      } finally {
        for (const client of clients) {
          await client.removeAllChannels();
          client.realtime.disconnect();
        }
      }
    });
  }

  test('TLS 1.2 and 1.3, nothing older; http/1.1, nothing else', async () => {
    const weak = { ciphers: 'DEFAULT:@SECLEVEL=0', minVersion: 'TLSv1' };
    assert.equal((await handshake(instance, { minVersion: 'TLSv1.3' })).protocol, 'TLSv1.3');
    assert.equal((await handshake(instance, { maxVersion: 'TLSv1.2' })).protocol, 'TLSv1.2');
    await assert.rejects(handshake(instance, { ...weak, maxVersion: 'TLSv1.1' }), /alert/i);
    await assert.rejects(handshake(instance, { maxVersion: 'TLSv1.2', ciphers: 'AES256-SHA:@SECLEVEL=0' }), /alert/i);
    assert.equal((await handshake(instance, { ALPNProtocols: ['h2', 'http/1.1'] })).alpnProtocol, 'http/1.1');
    assert.equal((await handshake(instance)).alpnProtocol, false);
    await assert.rejects(handshake(instance, { ALPNProtocols: ['h2'] }), /alert/i);
  });

  test('nothing is served without TLS, and an HTTP request is told why', async () => {
    const answer = await plainly(instance, `GET /realtime/v1/websocket?apikey=${instance.token()} HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n[^]*\r\n\r\nClient sent an HTTP request to an HTTPS server\.$/);
    assert.equal(/content-length: (\d+)/.exec(answer)[1], String(answer.split('\r\n\r\n')[1].length));
    for (const bytes of ['\0', '\x16\x03\x01\x00\x05hello', '\x16\x03\x01', 'x'.repeat(20_000), '\x80\x2e\x01\x00\x02']) {
      assert.doesNotMatch(await plainly(instance, Buffer.from(bytes, 'latin1')), /HTTP/);
    }
    assert.equal((await instance.get('/healthcheck')).status, 200);
  });

  test('the end is announced (close_notify), not only cut', async () => {
    const program = spawn('openssl', ['s_client', '-quiet', '-connect', `127.0.0.1:${instance.port}`]);
    let output = '';
    program.stdout.on('data', (chunk) => (output += chunk));
    program.stderr.on('data', (chunk) => (output += chunk));
    program.stdin.write('GET /healthcheck HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    const code = await within(10, 'the end of openssl s_client', new Promise((resolve) => program.on('close', resolve)));
    assert.match(output, /200 OK[^]*ok/);
    assert.doesNotMatch(output, /unexpected eof/i);
    assert.equal(code, 0, output);
  });

  test('many get the same frames in order, small and large', { timeout: 60_000 }, async () => {
    const members = await Promise.all(Array.from({ length: 40 }, () => member(instance, 'many')));
    const sender = await member(instance, 'many');
    const sizes = Array.from({ length: 60 }, (_, n) => (n % 20 === 7 ? 200_000 : n % 5 === 3 ? 20_000 : 10 + n));
    sizes.forEach((size, n) => sender.push('broadcast', { type: 'broadcast', event: 'e', payload: { n, filler: 'x'.repeat(size) } }));
    await until(
      () => `all messages everywhere: ${members.map(({ messages }) => messages.length)}`,
      () => members.every(({ messages }) => messages.length === sizes.length),
      { seconds: 30 },
    );
    for (const { messages } of members) {
      messages.forEach(({ payload }, n) => assert.ok(payload.n === n && payload.filler.length === sizes[n]));
    }
    const big = { text: 'é'.repeat(1_000_000) };
    members[0].push('broadcast', { type: 'broadcast', event: 'big', payload: big });
    await until('the big one', () => members[1].messages.length === sizes.length + 1);
    assert.deepEqual(members[1].messages.at(-1).payload, big);
    [...members, sender].forEach(({ socket }) => socket.drop());
  });

  test('a client that pauses misses nothing, and one that pauses too long is closed at the end of a frame', { timeout: 60_000 }, async () => {
    const [patient, slow, quick, sender] = await Promise.all(Array.from({ length: 4 }, () => member(instance, 'paused', { config: { broadcast: { ack: true } } })));
    const filler = 'x'.repeat(30_000);
    let sent = 0;
    const send = async (count) => {
      for (const end = sent + count; sent < end; sent++) {
        const ref = sender.push('broadcast', { type: 'broadcast', event: 'e', payload: { n: sent, filler } });
        await until('the ack', () => sender.replies.has(ref), { every: 1 });
      }
      await until('all at the quick one', () => quick.messages.length === sent);
    };
    const inOrder = (messages) => assert.deepEqual(messages.map(({ payload }) => payload.n), [...messages.keys()]);

    // more than the kernel's buffers take, less than client_queue_size beyond them
    patient.socket.pause();
    slow.socket.pause();
    await send(80);
    patient.socket.resume();
    await until('everything at the patient one', () => patient.messages.length === sent);
    inOrder(patient.messages);
    const closed = async () => Number(await instance.value(`select value from realtime.stats where name = 'slow_consumers_closed'`));
    while ((await closed()) === 0) {
      assert.ok(sent < 2000, 'it is closed in the end');
      await send(10);
    }
    slow.socket.resume();
    await until('the slow one notices', () => slow.socket.ended);
    assert.equal(slow.socket.ended.code, 1013);
    assert.ok(slow.messages.length < sent);
    inOrder(slow.messages);
    await until('everything at the patient one', () => patient.messages.length === sent);
    inOrder(patient.messages);
    [patient, quick, sender].forEach(({ socket }) => socket.drop());
  });

  test('a handshake that does not go on is ended after handshake_timeout', async () => {
    const began = Date.now();
    assert.doesNotMatch(await plainly(instance, Buffer.from('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'latin1')), /HTTP/);
    assert.ok(Date.now() - began >= 2900);
    const silent = connectTls({ port: instance.port, host: '127.0.0.1', ...instance.tls });
    silent.on('error', () => {});
    await within(10, 'the end of a connection without a request', new Promise((resolve) => silent.on('close', resolve)));
  });
});

describe('certificates', { concurrency: 2 }, () => {
  const reload = (instance) => instance.rows('select pg_reload_conf()');

  test('a renewed certificate is used for new connections, and no socket drops', async () => {
    const instance = await startTls();
    try {
      const old = await member(instance, 'renewed');
      const first = (await handshake(instance)).subject;
      const next = await authority.issue();
      await putFile(instance, 'server.crt', next.cert, 0o644);
      await putFile(instance, 'server.key', next.key);
      assert.equal((await handshake(instance)).subject, first, 'not before the reload');
      await reload(instance);
      await until('the new certificate', async () => (await handshake(instance)).subject === next.name);
      const fresh = await member(instance, 'renewed');
      fresh.push('broadcast', { type: 'broadcast', event: 'e', payload: { still: 'here' } });
      await arrived(old.messages, 1);
      old.push('broadcast', { type: 'broadcast', event: 'e', payload: { and: 'back' } });
      await arrived(fresh.messages, 1);

      // off, and what is there stays what it is
      await instance.set('realtime.ssl', 'off');
      await until('plain text', async () => /200 OK/.test(await plainly(instance, 'GET /healthcheck HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')));
      instance.tls = undefined;
      const plain = await member(instance, 'renewed');
      plain.push('broadcast', { type: 'broadcast', event: 'e', payload: { from: 'plain' } });
      await Promise.all([arrived(old.messages, 2), arrived(fresh.messages, 2)]);
      assert.equal(old.socket.ended, undefined);
    } finally {
      await instance.destroy();
    }
  });

  test('what can not be used is told, and the old certificate stays in use', { timeout: 90_000 }, async () => {
    const instance = await startTls({ listeners: 2 });
    try {
      const old = await member(instance, 'faults');
      const good = await authority.issue();
      const other = await authority.issue();
      const locked = await authority.issue({ passphrase: 'secret' });
      const serving = (await handshake(instance)).subject;

      // Files of their own for each fault, so that no two steps of a test are ever seen as one.
      const use = async (name, cert, key, mode = 0o600) => {
        if (cert) {
          await putFile(instance, `${name}.crt`, cert, 0o644);
        }
        if (key) {
          await putFile(instance, `${name}.key`, key, mode);
        }
        await instance.rows(`alter system set realtime.ssl_cert_file = '${name}.crt'`);
        await instance.rows(`alter system set realtime.ssl_key_file = '${name}.key'`);
        await reload(instance);
      };
      const faults = {
        'a missing key': [[good.cert, undefined], /could not open private key file "f0\.key": No such file/],
        'a missing certificate': [[undefined, good.key], /could not open certificate file "f1\.crt": No such file/],
        'a key of another certificate': [[good.cert, other.key], /private key file "f2\.key" does not belong to certificate file "f2\.crt"/],
        'a key that everybody may read': [[good.cert, good.key, 0o644], /private key file "f3\.key" has group or world access/],
        'a key that its group may read': [[good.cert, good.key, 0o640], /private key file "f4\.key" has group or world access/],
        'a key with a passphrase': [[locked.cert, locked.key], /private key file "f5\.key" is protected by a passphrase/],
        'a certificate that is none': [['nonsense\n', good.key], /could not load certificate file "f6\.crt"/],
        'a key that is none': [[good.cert, 'nonsense\n'], /could not load private key file "f7\.key"/],
      };
      for (const [n, [what, [files, pattern]]] of Object.entries(faults).entries()) {
        const position = await instance.logPosition();
        await use(`f${n}`, ...files);
        let row;
        await until(() => `health() tells of ${what}: ${JSON.stringify(row)}`, async () => {
          row = (await health(instance)).filter(({ check }) => /listener/.test(check));
          return row.length === 2 && row.every(({ ok, detail, hint }) => !ok && pattern.test(detail) && hint);
        });
        assert.match(row[0].detail, /old certificate stays in use/, what);
        const log = await instance.logSince(position);
        const lines = log.split('\n').filter((line) => pattern.test(line));
        assert.equal(lines.length, 1, `one line about ${what}:\n${log}`);
        assert.match(log, /DETAIL: .*stays in use/);
        assert.match(log, /HINT: /);
        for (let i = 0; i < 4; i++) {
          assert.equal((await handshake(instance)).subject, serving, what);
        }
        assert.ok((await workers(instance, 'listener')).every(({ state }) => state === 'running'), what);
      }
      await use('good', good.cert, good.key);
      await until('health() is well again', async () => (await health(instance)).every(({ check, ok }) => ok || !/listener/.test(check)));
      for (let i = 0; i < 4; i++) {
        assert.equal((await handshake(instance)).subject, good.name);
      }
      assert.equal(old.socket.ended, undefined);
      const fresh = await member(instance, 'faults');
      fresh.push('broadcast', { type: 'broadcast', event: 'e', payload: {} });
      await arrived(old.messages, 1);
    } finally {
      await instance.destroy();
    }
  });

  test('without any certificate connections are refused, and served once there is one', { timeout: 60_000 }, async () => {
    const instance = await Instance.start({
      extension: false,
      settings: ['fsync = off', 'realtime.ssl = on', `realtime.ssl_cert_file = 'tls.crt'`, `realtime.ssl_key_file = 'tls.key'`],
    });
    try {
      await instance.rows('create extension realtime');
      await until('health() says why', async () => {
        const row = await listener(instance);
        return row && !row.ok && /certificate file "tls\.crt"/.test(row.detail) && /realtime\.ssl_cert_file/.test(row.hint);
      });
      assert.equal((await workers(instance, 'listener'))[0].state, 'failing');
      await assert.rejects(instance.get('/healthcheck'), /ECONNREFUSED/);
      const log = await instance.logSince();
      assert.equal(log.split('\n').filter((line) => /could not open certificate file "tls\.crt"/.test(line)).length, 1, log);

      const { cert, key, name } = await authority.issue();
      await putFile(instance, 'tls.key', key);
      await putFile(instance, 'tls.crt', cert, 0o644);
      instance.tls = { ca: authority.certificate, servername: 'localhost' };
      await until('it is served, without a reload', async () => (await handshake(instance)).subject === name, { seconds: 40 });
      assert.equal((await instance.get('/healthcheck')).status, 200);

      // turned on by a reload without a certificate: those who are there stay, nobody else gets in
      await instance.set('realtime.ssl', 'off');
      instance.tls = undefined;
      await until('plain text', async () => (await instance.get('/healthcheck')).status === 200);
      const plain = await instance.connect();
      await removeFile(instance, 'tls.key');
      await instance.set('realtime.ssl', 'on');
      await until('nobody gets in', () => instance.get('/healthcheck').then(() => false, (error) => error.code === 'ECONNREFUSED'));
      plain.sendJson([null, '1', 'phoenix', 'heartbeat', {}]);
      await until('an answer on the old socket', () => plain.frames.length === 1);
      await instance.set('realtime.ssl', 'off');
      await until('plain text again', async () => (await instance.get('/healthcheck')).status === 200);
      assert.equal(plain.ended, undefined);
      plain.drop();
    } finally {
      await instance.destroy();
    }
  });
});
