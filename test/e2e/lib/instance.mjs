// A PostgreSQL server of its own for a test, made by test/lib/instance.sh.

import { after } from 'node:test';
import { execFile } from 'node:child_process';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { inEveryListener } from './poll.mjs';
import { Psql } from './psql.mjs';
import { RawSocket } from './socket.mjs';
import { request } from './http.mjs';
import { token } from './tokens.mjs';

const SCRIPT = fileURLToPath(new URL('../../lib/instance.sh', import.meta.url));
const run = promisify(execFile);

// A port that nothing uses, claimed until this process ends.
export async function freePort() {
  const { stdout } = await run('bash', ['-c', '. "$1" && instance_free_port "$2"', 'bash', SCRIPT, `/proc/${process.pid}`]);
  return Number(stdout);
}

// A socket or a timer that a failed test has left must not keep node from ending.
after(() => {
  setTimeout(() => process.exit(), 15_000).unref();
});

export class Instance {
  // Options of node:tls, once the server serves TLS.
  tls = undefined;
  #sessions = new Set();
  #shared;
  #requests = 100_000;

  constructor(dir) {
    this.dir = dir;
  }

  // settings: lines for postgresql.conf. extension: false leaves it out and doesn't wait for it. prepare(dir) may put
  // a cluster into dir/data before it is looked for there.
  static async start({ settings = [], listeners, extension = true, prepare } = {}) {
    const instance = new Instance(await mkdtemp(join(tmpdir(), 'rte.')));
    try {
      await prepare?.(instance.dir);
      await instance.#script('start', settings, listeners, extension);
    } catch (error) {
      await instance.destroy();
      throw error;
    }
    return instance;
  }

  async #script(command, settings = [], listeners, extension = true) {
    const options = settings.flatMap((setting) => ['-c', setting]);
    if (listeners) {
      options.push('-l', String(listeners));
    }
    if (!extension) {
      options.push('-x');
    }
    let output;
    try {
      output = (await run(SCRIPT, [command, this.dir, ...options], { timeout: 120_000 })).stdout;
    } catch (error) {
      throw new Error(`instance.sh ${command}: ${error.stderr || error.message}`);
    }
    const values = Object.fromEntries(output.split('\n').filter(Boolean).map((line) => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1)];
    }));
    this.home = values.HOME_DIR;
    this.pgHost = values.PGHOST;
    this.pgPort = Number(values.PGPORT);
    this.port = Number(values.PORT);
    this.secret = values.JWT_SECRET;
    this.url = `http://127.0.0.1:${this.port}`;
    this.bindir ??= (await run(process.env.PG_CONFIG ?? 'pg_config', ['--bindir'])).stdout.trim();
  }

  async restart(settings) {
    this.#forgetSessions();
    await this.#script('restart', settings);
  }

  async stop(mode = 'fast') {
    this.#forgetSessions();
    await run(SCRIPT, ['stop', this.dir, mode], { timeout: 120_000 });
  }

  async destroy() {
    this.#forgetSessions();
    await run(SCRIPT, ['destroy', this.dir], { timeout: 120_000 });
    await rm(this.dir, { recursive: true, force: true });
  }

  #forgetSessions() {
    for (const session of this.#sessions) {
      session.kill();
    }
    this.#sessions.clear();
    this.#shared = undefined;
  }

  // A psql session of the caller's own; it ends with the server at the latest.
  session(options = {}) {
    const session = new Psql({ bindir: this.bindir, host: this.pgHost, port: this.pgPort, ...options });
    this.#sessions.add(session);
    return session;
  }

  #sharedSession() {
    if (!this.#shared || this.#shared.exited) {
      this.#shared = this.session();
    }
    return this.#shared;
  }

  // SQL in a session that all callers share. See Psql.
  sql(text, seconds) {
    return this.#sharedSession().run(text, seconds);
  }

  rows(text, seconds) {
    return this.#sharedSession().rows(text, seconds);
  }

  value(text, seconds) {
    return this.#sharedSession().value(text, seconds);
  }

  // Changes a setting for the running server.
  async set(name, value) {
    await this.rows(`alter system set ${name} = ${value}`);
    await this.rows('select pg_reload_conf()');
  }

  // Waits until every listener has read the settings: each shows the last one of them in its answers below /api.
  async reloaded() {
    const wanted = String(++this.#requests);
    await this.set('realtime.max_requests_per_second', wanted);
    await inEveryListener('the settings are in use', async () => (await this.get('/api/ping')).headers['x-rate-limit'] === wanted);
  }

  token(role = 'anon', claims = {}) {
    return token(role, this.secret, claims);
  }

  // A raw WebSocket connection, open and accepted; with TLS if `tls` has options for it.
  async connect({ vsn = '2.0.0', key = this.token(), onFrame } = {}) {
    const socket = new RawSocket({ onFrame });
    const answer = await socket.open(this.port, `/realtime/v1/websocket?apikey=${key}&vsn=${vsn}`, {}, { tls: this.tls });
    if (answer.status !== 101) {
      throw new Error(`not accepted: ${answer.status} ${answer.body}`);
    }
    return socket;
  }

  get(path) {
    return request(this.port, { path, tls: this.tls });
  }

  // The size of the server's log, for logSince.
  async logPosition() {
    const file = await open(join(this.home, 'server.log'));
    try {
      return (await file.stat()).size;
    } finally {
      await file.close();
    }
  }

  // What the server has logged after a position.
  async logSince(position = 0) {
    return (await readFile(join(this.home, 'server.log'))).subarray(position).toString();
  }
}
