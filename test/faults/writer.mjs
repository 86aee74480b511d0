// A session of the database that publishes: transactions of every shape, one after the other.

import { PublishedIds } from './truth.mjs';

// psql says so before it ends.
export const isCut = (notices) => notices.some((line) => /^(FATAL|PANIC):|connection to (the )?server|server closed the connection/.test(line));

export class Writer {
  #session;
  #sessions = 0;
  #number = 0;
  stats = { committed: 0, failed: 0, unknown: 0 };
  errors = new Map();

  constructor(server, name, { random, synchronous = true }) {
    Object.assign(this, { server, name, random, synchronous });
  }

  #key() {
    return `${this.name}.${this.#sessions}:${++this.#number}`;
  }

  // One to count messages on a topic, in one statement.
  #sends(topic, count, pad) {
    const keys = Array.from({ length: count }, () => this.#key());
    const [first, last] = [keys[0], keys.at(-1)].map((key) => key.split(':')[1]);
    const payload = `jsonb_build_object('k', '${this.name}.${this.#sessions}:' || n${pad ? `, 'pad', '${pad}'` : ''})`;
    return {
      sql: `select count(realtime.send(${payload}, 'm', '${topic}', ${topic === 'priv'})) from generate_series(${first}, ${last}) n;`,
      sent: keys.map((key) => [key, 'database', topic]),
    };
  }

  // A row of the published table is made, changed and perhaps deleted.
  #changes() {
    const id = PublishedIds.next();
    const [inserted, updated] = [this.#key(), this.#key()];
    const statements = [`insert into public.items values (${id}, '${inserted}');`, `update public.items set k = '${updated}' where id = ${id};`];
    const sent = [[inserted, 'changes'], [updated, 'changes']];
    if (this.random() < 0.5) {
      statements.push(`delete from public.items where id = ${id};`);
      sent.push([`gone:${id}`, 'changes']);
    }
    return { sql: statements.join('\n'), sent };
  }

  #part() {
    const topic = this.random() < 0.6 ? 'pub' : 'priv';
    const roll = this.random();
    if (roll < 0.35) {
      return this.#changes();
    }
    if (roll < 0.42) {
      // So long a transaction is likely to be under way when something ends.
      return this.#sends(topic, roll < 0.36 ? 3000 : 100);
    }
    const pad = this.random() < 0.1 ? Array.from({ length: 600 }, () => Math.floor(this.random() * 2 ** 32).toString(36)).join('') : '';
    return this.#sends(topic, 1 + Math.floor(this.random() * 4), pad);
  }

  // One transaction; resolves when its fate is known as well as it can be.
  async transaction(history, parts = 1 + Math.floor(this.random() * 3)) {
    if (!this.#session || this.#session.exited) {
      this.#session = this.server.session({ options: `-c client_min_messages=warning -c application_name=faults_writer -c statement_timeout=20s -c synchronous_commit=${this.synchronous ? 'on' : 'off'}` });
      this.#sessions++;
      this.#number = 0;
    }
    const statements = ['begin;'];
    const sent = [];
    const undone = [];
    for (let i = 0; i < parts; i++) {
      const part = this.#part();
      const roll = this.random();
      if (roll < 0.1) {
        statements.push(`savepoint s${i};`, part.sql, `rollback to s${i};`);
        undone.push(...part.sent);
      } else {
        statements.push(...(roll < 0.2 ? [`savepoint s${i};`, part.sql, `release s${i};`] : [part.sql]));
        sent.push(...part.sent);
      }
      const pausing = this.random();
      if (pausing < 0.3) {
        statements.push(`select pg_sleep(${(this.random() * (pausing < 0.02 ? 0.6 : 0.02)).toFixed(3)});`);
      }
    }
    const rollback = this.random() < 0.07;
    // An error before a rollback to a savepoint is none of the transaction's: only one that lives gets so far.
    statements.push(`select 'it lives';`, rollback ? 'rollback;' : 'commit;');
    for (const message of [...sent, ...undone]) {
      history.sent(...message);
    }
    for (const [key] of undone) {
      history.refused(key, 'rolled back to a savepoint');
    }
    const { rows, notices, exited } = await this.#session.run(statements.join('\n'), 40)
      .catch((error) => ({ rows: [], notices: [error.message], exited: true }));
    const error = notices.find((line) => /^(ERROR|FATAL|PANIC):/.test(line));
    const outcome = exited || isCut(notices) ? 'unknown' : rollback || !rows.includes('it lives') ? 'failed' : 'committed';
    this.stats[outcome]++;
    if (outcome === 'unknown') {
      this.#session.kill();
      this.#session = undefined;
    } else if (error) {
      this.errors.set(error, (this.errors.get(error) ?? 0) + 1);
    }
    for (const [key] of sent) {
      if (outcome === 'committed') {
        history.acked(key);
      } else if (outcome === 'failed') {
        history.refused(key, error ?? 'rolled back');
      }
    }
    return { outcome, keys: sent.map(([key]) => key) };
  }

  // A message of each kind that ends a round, again until it is committed. Returns their keys.
  async fence(history, topics) {
    for (let attempt = 0; attempt < 20; attempt++) {
      const { outcome, keys } = await this.#fenceOnce(history, topics);
      if (outcome) {
        return keys;
      }
    }
    throw new Error(`no commit succeeds: ${[...this.errors.keys()].join('; ')}`);
  }

  async #fenceOnce(history, topics) {
    if (!this.#session || this.#session.exited) {
      this.#session = this.server.session({ options: '-c client_min_messages=warning -c application_name=faults_fence' });
      this.#sessions++;
      this.#number = 0;
    }
    const parts = topics.map((topic) => this.#sends(topic, 1));
    const key = this.#key();
    parts.push({ sql: `insert into public.items values (${PublishedIds.next()}, '${key}');`, sent: [[key, 'changes']] });
    const sent = parts.flatMap((part) => part.sent);
    for (const message of sent) {
      history.sent(...message);
    }
    const { notices, exited } = await this.#session.run(`begin;\n${parts.map(({ sql }) => sql).join('\n')}\ncommit;`, 40)
      .catch((failure) => ({ notices: [failure.message], exited: true }));
    const error = notices.find((line) => /^(ERROR|FATAL|PANIC):/.test(line));
    const cut = exited || isCut(notices);
    const outcome = !cut && !error;
    if (outcome) {
      sent.forEach(([k]) => history.acked(k));
    } else if (!cut) {
      sent.forEach(([k]) => history.refused(k, error));
      this.errors.set(error, (this.errors.get(error) ?? 0) + 1);
      await this.server.sql('select pg_sleep(0.05)');
    } else {
      this.#session.kill();
      this.#session = undefined;
    }
    return { outcome, keys: sent.map(([k]) => k) };
  }

  close() {
    this.#session?.kill();
  }
}
