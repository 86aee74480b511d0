// SQL through one long-running psql, so that a session can hold a transaction open and setting up
// costs nothing.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { within } from './poll.mjs';

export class Psql {
  #process;
  #queue = Promise.resolve();
  #number = 0;
  #rows = [];
  #notices = [];
  #onRowsEnd;
  #onNoticesEnd;
  #onExit;
  exited = false;

  // where: { bindir, host, port, user, database }
  constructor({ bindir, host, port, user = 'postgres', database = 'postgres', options }) {
    this.#process = spawn(`${bindir}/psql`, ['-X', '-q', '-A', '-t', '-P', 'pager=off'], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: {
        ...process.env,
        PGHOST: host,
        PGPORT: String(port),
        PGUSER: user,
        PGDATABASE: database,
        PGOPTIONS: options ?? '-c client_min_messages=warning',
        LC_ALL: 'C.UTF-8',
      },
    });
    this.#process.stdin.on('error', () => {});
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      if (line === `--end ${this.#number}--`) {
        this.#onRowsEnd?.();
      } else {
        this.#rows.push(line);
      }
    });
    createInterface({ input: this.#process.stderr }).on('line', (line) => {
      if (line === `--end ${this.#number}--`) {
        this.#onNoticesEnd?.();
      } else {
        this.#notices.push(line);
      }
    });
    // 'close' comes when the streams are read to their end, so that nothing it said is lost.
    this.#process.on('close', () => {
      this.exited = true;
      this.#onExit?.();
    });
  }

  // Runs SQL, each statement in a transaction of its own unless it says otherwise. Returns
  // { rows, notices, exited }: lines of output, lines of warnings and errors.
  run(sql, seconds = 30) {
    const result = this.#queue.then(() => this.#run(sql, seconds));
    this.#queue = result.catch(() => {});
    return result;
  }

  // Runs SQL that must not fail, and returns its lines.
  async rows(sql, seconds) {
    const { rows, notices, exited } = await this.run(sql, seconds);
    if (exited || notices.some((line) => /^(ERROR|FATAL|PANIC):/.test(line))) {
      throw new Error(`${notices.join('\n') || 'psql ended'}\nin: ${sql.slice(0, 500)}`);
    }
    return rows;
  }

  // The only line of the only row.
  async value(sql, seconds) {
    return (await this.rows(sql, seconds))[0];
  }

  async #run(sql, seconds) {
    this.#number++;
    this.#rows = [];
    this.#notices = [];
    if (!this.exited) {
      const rows = new Promise((resolve) => (this.#onRowsEnd = resolve));
      const notices = new Promise((resolve) => (this.#onNoticesEnd = resolve));
      const exit = new Promise((resolve) => (this.#onExit = resolve));
      // psql loses its place if a lone semicolon follows the data of a COPY.
      const end = /(;|\\\.)\s*$/.test(sql) ? '' : ';';
      this.#process.stdin.write(`${sql}${end}\n\\echo --end ${this.#number}--\n\\warn --end ${this.#number}--\n`);
      await within(seconds, `the end of ${sql.slice(0, 200)}`, Promise.race([Promise.all([rows, notices]), exit]));
    }
    return { rows: this.#rows, notices: this.#notices, exited: this.exited };
  }

  // Ends the session at once, as a client does that disappears.
  kill() {
    this.#process.kill('SIGKILL');
  }

  close() {
    this.#process.stdin.end('\\q\n');
  }
}
