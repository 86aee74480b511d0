// Keys that tokens are verified with: the set of realtime.jwks_file, claim validators, and what a
// change of them does to those who are connected.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, randomBytes, sign as cryptoSign } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Instance } from './lib/instance.mjs';
import { RawSocket } from './lib/socket.mjs';
import { health, member, workers } from './lib/member.mjs';
import { pause, until } from './lib/poll.mjs';
import { sign as signWithSecret } from './lib/tokens.mjs';

const NEVER = 4102444800;
const NO_SIGNER = 'Failed to generate JWT signer, check your JWT secret or JWKS configuration';
const noSigner = (kid) =>
  `Failed to generate JWT signer for key ID (kid) "${kid}", check your JWT secret or JWKS configuration`;

const RSA = (bits = 2048) => generateKeyPairSync('rsa', { modulusLength: bits });
const EC = (namedCurve) => generateKeyPairSync('ec', { namedCurve });

// A key of this kid: what the server may see of it, and a function that signs.
function makeKey(alg, kid) {
  const hash = `sha${alg.slice(-3)}`;
  if (alg.startsWith('HS')) {
    const secret = randomBytes(64);
    return {
      alg, kid,
      jwk: { kty: 'oct', kid, alg, k: secret.toString('base64url') },
      sign: (text) => createHmac(hash, secret).update(text).digest(),
    };
  }
  const { publicKey, privateKey } =
    alg.startsWith('RS') ? RSA()
      : alg.startsWith('ES') ? EC({ ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }[alg])
        : generateKeyPairSync(kid.includes('448') ? 'ed448' : 'ed25519');
  return {
    alg, kid, publicKey,
    jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' },
    sign: (text) =>
      cryptoSign(alg === 'EdDSA' ? null : hash, Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' }),
  };
}

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

function tokenOf(key, claims = {}, header = {}) {
  const text = `${encode({ alg: key.alg, typ: 'JWT', kid: key.kid, ...header })}.${encode({ role: 'anon', exp: NEVER, ...claims })}`;
  return `${text}.${key.sign(text).toString('base64url')}`;
}

const setOf = (...keys) => JSON.stringify({ keys: keys.map(({ jwk }) => jwk) });

let instance;
let file;
const published = new Set();

// Replaces the file as a careful administrator does.
async function publish(...keys) {
  keys.forEach((key) => published.add(key));
  await writeContent(setOf(...keys));
}

async function writeContent(text) {
  await writeFile(`${file}.new`, text, { mode: 0o644 });
  await rename(`${file}.new`, file);
}

async function connectAnswer(key) {
  const socket = new RawSocket();
  const answer = await socket.open(instance.port, `/realtime/v1/websocket?apikey=${key}&vsn=2.0.0`);
  socket.drop();
  return answer.status === 101 ? 101 : [answer.status, JSON.parse(answer.body).error];
}

const accepted = (key, seconds = 10) =>
  until('the key is accepted', async () => (await connectAnswer(tokenOf(key))) === 101, { seconds, every: 100 });

// Ended as PROTOCOL 1.5 says.
async function sentAway(self, seconds = 10) {
  await until('the client is sent away', () => self.socket.ended, { seconds });
  assert.equal(self.socket.ended.code, 1012);
  assert.equal(self.systems.at(-1).message, 'Server requested disconnect');
}

// What health() advises about the listener.
const listener = async () => (await health(instance)).find(({ check }) => check === 'listener 0');
const hint = async () => (await listener()).hint ?? '';

const first = makeKey('ES256', 'first');

before(async () => {
  instance = await Instance.start({ settings: ['fsync = off'] });
  file = join(instance.home, 'data', 'jwks.json');
  await publish(first);
  await instance.set('realtime.jwks_file', `'jwks.json'`);
  await accepted(first);
});
after(() => instance?.destroy());

const ALGORITHMS = [
  ['HS256', 'h1'], ['HS384', 'h2'], ['HS512', 'h3'], ['RS256', 'r1'], ['RS384', 'r2'], ['RS512', 'r3'],
  ['ES256', 'e1'], ['ES384', 'e2'], ['ES512', 'e3'], ['EdDSA', 'ed25519'], ['EdDSA', 'ed448'],
];

test('tokens of every algorithm connect, join, and replace one another', async () => {
  const keys = ALGORITHMS.map(([alg, kid]) => makeKey(alg, kid));
  await publish(first, ...keys);
  await accepted(keys[0]);
  for (const key of keys) {
    const self = await member(instance, `alg-${key.kid}`, { key: tokenOf(key), ready: false });
    self.push('access_token', { access_token: tokenOf(keys[0], { sub: 'another' }) });
    self.push('phx_join', { config: {}, access_token: tokenOf(key, { sub: 'b' }) }, '7');
    await until('the second join', () => self.replies.get('7'));
    assert.equal(self.replies.get('7').status, 'ok', key.kid);
    const bad = tokenOf(key).replace(/.{4}$/, (end) => (end === 'AAAA' ? 'BBBB' : 'AAAA'));
    assert.deepEqual(await connectAnswer(bad), [401, 'Failed to validate JWT signature'], key.kid);
    self.socket.drop();
  }
  assert.equal(await connectAnswer(instance.token()), 101, 'the secret counts as well');
});

test('a key that the set has not: connect, join and access_token say which', async () => {
  const stranger = { ...makeKey('RS256', 'nobody "knows" it') };
  const token = tokenOf(stranger);
  assert.deepEqual(await connectAnswer(token), [401, noSigner(stranger.kid)]);

  const self = await member(instance, 'kid', { ready: false });
  self.push('phx_join', { config: {}, access_token: token }, '5');
  await until('the refusal', () => self.replies.get('5'));
  assert.deepEqual(self.replies.get('5'), {
    status: 'error', response: { reason: `JwtSignerError: ${noSigner(stranger.kid)}` },
  });

  self.push('phx_join', { config: {} }, '6');
  await until('a join again', () => self.replies.get('6')?.status === 'ok');
  self.push('access_token', { access_token: token });
  await until('the end of the channel', () => self.others.filter(({ event }) => event === 'phx_close').length > 0 && self.systems.length > 0);
  assert.equal(self.systems.at(-1).message, noSigner(stranger.kid));
  assert.equal(self.socket.ended, undefined, 'the connection stays');
  self.socket.drop();
});

test('no kid, no algorithm, another algorithm', async () => {
  const rsa = makeKey('RS256', 'confused');
  const pair = makeKey('ES256', 'pair');
  await publish(first, rsa, pair);
  await accepted(rsa);
  assert.deepEqual(await connectAnswer(tokenOf(rsa, {}, { kid: undefined })), [401, NO_SIGNER]);
  assert.deepEqual(await connectAnswer(tokenOf(rsa, {}, { alg: 'none' })), [401, NO_SIGNER]);
  // the public key, as anyone may have it, taken for the secret of an HMAC
  for (const secret of [rsa.publicKey.export({ type: 'spki', format: 'pem' }), JSON.stringify(rsa.jwk)]) {
    const forged = signWithSecret({ role: 'service_role', exp: NEVER }, secret, { alg: 'HS256', typ: 'JWT', kid: rsa.kid });
    assert.deepEqual(await connectAnswer(forged), [401, 'Failed to validate JWT signature']);
  }
  // a key is used only for what it is for
  assert.deepEqual(await connectAnswer(tokenOf({ ...pair, kid: rsa.kid })), [401, noSigner(rsa.kid)]);
  assert.deepEqual(await connectAnswer(tokenOf(rsa, {}, { alg: 'RS512' })), [401, noSigner(rsa.kid)]);
});

test('a rotation needs no signal: within a second or two the old key is gone, and its clients with it', async () => {
  const next = makeKey('ES256', 'next');
  const old = await member(instance, 'rotation', { key: tokenOf(first), ready: false });
  const joined = await member(instance, 'rotation', { ready: false });
  joined.push('access_token', { access_token: tokenOf(first) });
  const other = await member(instance, 'rotation', { ready: false });
  const position = await instance.logPosition();

  await publish(first, next);
  await accepted(next, 4);
  const both = await member(instance, 'rotation', { key: tokenOf(next), ready: false });
  assert.equal(old.socket.ended, undefined, 'both keys are good');

  await publish(next);
  const began = Date.now();
  await sentAway(old, 4);
  assert.ok(Date.now() - began < 3000);
  await sentAway(joined, 4);
  assert.deepEqual(await connectAnswer(tokenOf(first)), [401, noSigner('first')]);
  assert.equal(await connectAnswer(tokenOf(next)), 101);
  assert.equal(both.socket.ended, undefined);
  assert.equal(other.socket.ended, undefined, 'a token of the secret is not touched');
  const log = await instance.logSince(position);
  assert.equal(log.match(/were read from realtime\.jwks_file/g).length, 2, log);
  both.socket.drop();
  other.socket.drop();
});

test('a connect sees the new keys even if nobody was there to look', async () => {
  await until('nobody is connected', async () => (await instance.value('select count(*) from realtime.connections')) === '0');
  const late = makeKey('EdDSA', 'late');
  await publish(first, late);
  await pause(1100); // the file is looked at once a second at most
  assert.equal(await connectAnswer(tokenOf(late)), 101);
});

test('a file that has been no set of keys for long is told of when somebody comes', async () => {
  await until('nobody is connected', async () => (await instance.value('select count(*) from realtime.connections')) === '0');
  const position = await instance.logPosition();
  await writeContent('no keys');
  await pause(3000);
  const self = await member(instance, 'old', { ready: false });
  await until('it is told', async () => /could not read realtime\.jwks_file/.test(await instance.logSince(position)));
  self.socket.drop();
  await publish(first);
  await accepted(first);
});

test('a file that is written in place is not complained about', async () => {
  const slow = makeKey('ES384', 'slow');
  const self = await member(instance, 'in-place', { ready: false });
  const position = await instance.logPosition();
  published.add(slow);
  const text = setOf(first, slow);
  const began = Date.now();
  await writeFile(file, text.slice(0, 100));
  await pause(700);
  await writeFile(file, text);
  const took = Date.now() - began;
  await accepted(slow, 4);
  // Half a file is a fault once it has stayed so for a second.
  if (took < 950) {
    assert.doesNotMatch(await instance.logSince(position), /could not read realtime\.jwks_file/);
  }
  assert.equal(self.socket.ended, undefined);
  self.socket.drop();
});

describe('a file that is no set of keys', () => {
  const cases = [
    ['no JSON', () => writeContent('{"keys": ['), /the document is not JSON/, /JSON Web Key Set/],
    ['another document', () => writeContent('{"key": []}'), /"keys" is missing or no array/, /JSON Web Key Set/],
    ['a weak key', () => {
      const { publicKey } = RSA(1024);
      return writeContent(JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'weak' }] }));
    }, /keys\[0\]: .*1024 bits, at least 2048 are needed/, /JSON Web Key Set/],
    ['too long', () => writeContent(`{"keys": []}${' '.repeat(1024 * 1024)}`), /longer than 1 MB/, /JSON Web Key Set/],
    ['missing', () => rm(file), /No such file or directory/, /Correct realtime\.jwks_file/],
    ['not to be read', () => chmod(file, 0), /Permission denied/, /Correct realtime\.jwks_file/],
    ['a directory', async () => { await rm(file); await mkdir(file); }, /no regular file|Is a directory/, /Correct realtime\.jwks_file/],
  ];
  for (const [name, spoil, detail, hinted] of cases) {
    test(`${name}: said once, the keys of before stay in use`, async () => {
      await rm(file, { recursive: true, force: true });
      await publish(first);
      const self = await member(instance, 'bad-file', { key: tokenOf(first), ready: false });
      await until('no hint', async () => (await hint()) === '');
      const position = await instance.logPosition();
      await spoil();
      await until('a hint', async () => hinted.test(await hint()), { seconds: 6 });
      const log = await instance.logSince(position);
      assert.match(log, detail);
      assert.match(log, /DETAIL: .* stay in use/);
      assert.match(log, hinted);
      assert.equal(log.match(/could not read realtime\.jwks_file/g).length, 1, log);
      const row = await listener();
      assert.equal(row.ok, false);
      assert.match(row.detail, detail);

      assert.equal(await connectAnswer(tokenOf(first)), 101);
      assert.equal(self.socket.ended, undefined);
      if (name === 'missing' || name === 'no JSON') {
        await pause(1500); // one more look at least
        assert.equal((await instance.logSince(position)).match(/could not read realtime\.jwks_file/g).length, 1);
      }

      await rm(file, { recursive: true, force: true });
      await publish(first);
      await until('the hint is gone', async () => (await hint()) === '', { seconds: 6 });
      assert.equal(self.socket.ended, undefined);
      self.socket.drop();
    });
  }
});

test('keys that are of no use here are left out, and named in the log', async () => {
  const position = await instance.logPosition();
  const odd = { jwk: { kty: 'EC', crv: 'secp256k1', kid: 'odd', x: 'AA', y: 'AA' } };
  await publish(odd, first);
  await instance.rows('select pg_reload_conf()');
  await until('a line in the log', async () => /1 were left out: keys\[0\] is left out: /.test(await instance.logSince(position)));
  assert.equal(await connectAnswer(tokenOf(first)), 101);
});

test('SIGHUP: another file, and none', async () => {
  const second = makeKey('RS256', 'second');
  await writeFile(join(instance.home, 'data', 'second.json'), setOf(second));
  published.add(second);
  const self = await member(instance, 'sighup', { key: tokenOf(first), ready: false });
  await instance.set('realtime.jwks_file', `'second.json'`);
  await sentAway(self);
  await accepted(second);

  const again = await member(instance, 'sighup', { key: tokenOf(second), ready: false });
  const position = await instance.logPosition();
  await instance.set('realtime.jwks_file', `'nowhere.json'`);
  await until('it is said', async () => /"nowhere\.json": No such file/.test(await instance.logSince(position)));
  assert.equal(again.socket.ended, undefined, 'the keys of before stay in use');
  await instance.set('realtime.jwks_file', `''`);
  await sentAway(again);
  assert.equal(await hint(), '');
  assert.deepEqual(await connectAnswer(tokenOf(second)), [401, NO_SIGNER]);
  await instance.set('realtime.jwks_file', `'${file}'`);
  await accepted(first);
});

test('an idle server does not wake up for the file', async () => {
  await until('nobody is connected', async () => (await instance.value('select count(*) from realtime.connections')) === '0');
  const { pid } = (await workers(instance, 'listener'))[0];
  const switches = async () =>
    Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))[1]);
  await pause(500);
  const idle = await switches();
  await pause(3200);
  assert.ok((await switches()) - idle <= 1, `${(await switches()) - idle} times in 3 s`);
});

test('claim validators: who lacks the claim is refused, and sent away when they change', async () => {
  const good = instance.token('anon', { iss: 'https://a.example', level: { n: [1, 2] } });
  const with_ = await member(instance, 'claims', { key: good, ready: false });
  const without = await member(instance, 'claims', { ready: false });
  await instance.set('realtime.claim_validators', `'{"iss": "https://a.example", "level": {"n": [1, 2]}}'`);
  await sentAway(without);
  assert.equal(with_.socket.ended, undefined);
  assert.equal((await connectAnswer(instance.token()))[0], 500);
  with_.push('phx_join', { config: {}, access_token: instance.token('anon', { iss: 'https://b.example' }) }, '5');
  await until('the refusal', () => with_.replies.get('5'));
  assert.deepEqual(with_.replies.get('5').response, { reason: 'InvalidJWTToken: The claim `iss` has not the required value' });
  for (const bad of ['{', '[]', '"iss"', '{"a":1,}']) {
    await assert.rejects(instance.rows(`alter system set realtime.claim_validators = '${bad}'`), /JSON object/);
  }
  await instance.set('realtime.claim_validators', `''`);
  await until('all may come', async () => (await connectAnswer(instance.token())) === 101);
  assert.equal(with_.socket.ended, undefined);
  with_.socket.drop();
});

test('private_only: those with a public channel are sent away, the others stay', async () => {
  await instance.rows(`create policy "all read" on realtime.messages for select to authenticated using (true)`);
  const key = instance.token('authenticated');
  const onPublic = await member(instance, 'po-public', { key, ready: false });
  const onPrivate = await member(instance, 'po-private', { key, ready: false, config: { private: true } });
  const idle = await instance.connect();
  await instance.set('realtime.private_only', 'on');
  await sentAway(onPublic);
  await assert.rejects(member(instance, 'po-public', { key, ready: false }), /PrivateOnly/);
  assert.equal(onPrivate.socket.ended, undefined);
  assert.equal(idle.ended, undefined);
  await instance.set('realtime.private_only', 'off');
  const again = await until('public channels again', () => member(instance, 'po-public', { key, ready: false }));
  assert.equal(onPrivate.socket.ended, undefined);
  again.socket.drop();
  onPrivate.socket.drop();
  idle.drop();
});

test('many clients: those of the old key go, the others stay', async () => {
  const bulk = makeKey('ES256', 'bulk');
  await publish(first, bulk);
  await accepted(bulk);
  const sockets = [];
  for (let n = 0; n < 200; n++) {
    sockets.push(await instance.connect({ key: tokenOf(n % 2 ? bulk : first, { sub: String(n) }) }));
  }
  await publish(first);
  await until('the hundred are gone', () => sockets.filter(({ ended }) => ended).length === 100, { seconds: 10 });
  assert.ok(sockets.every(({ ended }, n) => (n % 2 ? ended.code === 1012 : ended === undefined)));
  sockets.forEach((socket) => socket.drop());
});

test('two troubles at once, two listeners: each is logged once, and health() tells of both', async () => {
  const other = await Instance.start({
    listeners: 2,
    settings: ['fsync = off', `realtime.jwks_file = 'nowhere.json'`, `realtime.listen_addresses = 'localhost, 203.0.113.1'`],
  });
  try {
    const both = await until('both hints for both', async () => {
      const rows = (await health(other)).filter(({ check }) => /^listener/.test(check));
      return rows.length === 2 && rows.every((row) => /listen_addresses/.test(row.hint) && /jwks_file/.test(row.hint)) && rows;
    });
    for (const { ok, detail } of both) {
      assert.equal(ok, false);
      assert.match(detail, /could not listen on 203\.0\.113\.1:.*; could not read realtime\.jwks_file "nowhere\.json": No such file/);
    }
    await other.rows('select pg_reload_conf()');
    await until('it is said again', async () => (await other.logSince()).match(/could not read realtime\.jwks_file/g).length > 1);
    const log = await other.logSince();
    assert.equal(log.match(/could not read realtime\.jwks_file/g).length, 2, 'at the start, and when somebody has tried to mend it');
    assert.equal(log.match(/could not listen on/g).length, 1);
    assert.match(log, /Tokens are verified without its keys/);

    const key = makeKey('ES256', 'mended');
    await writeFile(join(other.home, 'data', 'nowhere.json'), setOf(key));
    await other.rows('select pg_reload_conf()');
    await until('one hint is left', async () =>
      (await health(other)).filter(({ check }) => /^listener/.test(check)).every(({ hint }) => hint === 'No network interface of this host has that address: correct realtime.listen_addresses.'));
    const socket = await other.connect({ key: tokenOf(key) });
    socket.drop();
  } finally {
    await other.destroy();
  }
});

test('no secret, key or token is in the log', async () => {
  const log = await instance.logSince();
  assert.match(log, /jwks\.json/, 'something is there to look through');
  for (const { jwk } of published) {
    for (const part of [jwk.k, jwk.n, jwk.x].filter(Boolean)) {
      assert.ok(part === 'AA' || !log.includes(part), `part of ${jwk.kid}`);
    }
  }
  assert.ok(!log.includes(instance.secret));
  assert.doesNotMatch(log, /eyJ[\w-]+\.[\w-]+\./);
});
