// The server under test: test/lib/instance.sh, and quick ways to end it badly.

import { execFile } from 'node:child_process';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { until } from '../e2e/lib/poll.mjs';
import { Psql } from '../e2e/lib/psql.mjs';
import { token } from '../e2e/lib/tokens.mjs';

const SCRIPT = fileURLToPath(new URL('../lib/instance.sh', import.meta.url));
export const run = promisify(execFile);

export class Server {
  #admin;

  static async start(settings, { listeners, ports = [] }) {
    const server = new Server();
    server.dir = await mkdtemp(join(tmpdir(), 'rtf.'));
    const options = [...settings.flatMap((line) => ['-c', line]), '-l', String(listeners)];
    if (ports.length === 2) {
      options.push('-p', ports[0], '-w', ports[1]);
    }
    try {
      await server.script('start', ...options);
    } catch (error) {
      await server.destroy();
      throw error;
    }
    return server;
  }

  // Runs instance.sh, and learns from it where the server is.
  async script(command, ...options) {
    const { stdout } = await run(SCRIPT, [command, this.dir, ...options], { timeout: 120_000 });
    const values = Object.fromEntries([...stdout.matchAll(/^(\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]));
    if (values.PORT) {
      Object.assign(this, { home: values.HOME_DIR, host: values.PGHOST, pgPort: Number(values.PGPORT), port: Number(values.PORT), secret: values.JWT_SECRET });
    }
    this.bindir ??= (await run(process.env.PG_CONFIG ?? 'pg_config', ['--bindir'])).stdout.trim();
  }

  async destroy() {
    this.#admin?.kill();
    await this.script('destroy');
    await rm(this.dir, { recursive: true, force: true });
  }

  // False once its postmaster has ended.
  async runs() {
    try {
      await run(SCRIPT, ['status', this.dir], { timeout: 10_000 });
      return true;
    } catch {
      return false;
    }
  }

  session(options = {}) {
    return new Psql({ bindir: this.bindir, host: this.host, port: this.pgPort, ...options });
  }

  // SQL of a superuser, again and again until the server lets us.
  async sql(text, seconds = 30) {
    return until(`the server takes ${text.slice(0, 100)}`, async () => {
      if (!this.#admin || this.#admin.exited) {
        this.#admin = this.session();
      }
      const { rows, notices, exited } = await this.#admin.run(text, seconds);
      if (exited || notices.length > 0) {
        throw new Error(notices.join('; ') || 'psql ended');
      }
      return rows;
    }, { seconds, every: 50 });
  }

  async value(text, seconds) {
    return (await this.sql(text, seconds))[0];
  }

  // One try; errors of SQL are the answer: { rows, notices, exited }.
  async attempt(text, seconds = 30) {
    if (!this.#admin || this.#admin.exited) {
      this.#admin = this.session();
    }
    return this.#admin.run(text, seconds);
  }

  async set(settings) {
    for (const [name, value] of Object.entries(settings)) {
      await this.sql(value === undefined ? `alter system reset ${name}` : `alter system set ${name} = '${value}'`);
    }
    await this.sql('select pg_reload_conf()');
  }

  token(role, claims) {
    return token(role, this.secret, claims);
  }

  // The pids of a kind of worker.
  async pids(kind) {
    return (await this.sql(`select pid from pg_stat_activity where backend_type = 'realtime ${kind}' order by pid`)).map(Number);
  }

  async logPosition() {
    return (await this.#log((file) => file.stat())).size;
  }

  async logSince(position) {
    return this.#log(async (file) => {
      const { size } = await file.stat();
      const buffer = Buffer.alloc(Math.max(0, size - position));
      await file.read(buffer, 0, buffer.length, position);
      return buffer.toString();
    });
  }

  async #log(use) {
    const file = await open(join(this.home, 'server.log'));
    try {
      return await use(file);
    } finally {
      await file.close();
    }
  }
}
