// The faults: what is done to a server that serves, and undone again.
//
// Each is { name, weight, inject(world) }; inject resolves when the fault is healed. spares: kinds of messages of which none may
// be missing on connections that live on, when this fault comes alone. needs(world): false leaves it out. isDdl: not two
// of these at a time, since one would find what the other has half done. isStop: alone.
// world: { server, random, clients, senders, history, tablespace }.

import { constants } from 'node:os';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pause, until } from '../e2e/lib/poll.mjs';
import { shuffled } from './random.mjs';
import { isCut } from './writer.mjs';

export const WORKERS = ['launcher', 'listener', 'authorizer', 'decoder', 'change decoder', 'changes'];

const pick = ({ random }, list) => list[Math.floor(random() * list.length)];
const between = ({ random }, low, high) => low + random() * (high - low);
const some = (world, list, most) => [...list].sort(() => world.random() - 0.5).slice(0, 1 + Math.floor(world.random() * most));

// All of them at once; the server must not notice.
async function terminateAll(world, kinds) {
  const list = kinds.map((kind) => `'realtime ${kind}'`).join();
  await insist(world, `select pg_terminate_backend(pid) from realtime.workers where kind in (${list}) and pid > 0`);
}

// A worker of this kind that runs; waits for one.
async function worker(world, kind) {
  const pids = await until(`a running ${kind}`, async () => {
    const found = await world.server.sql(`select pid from realtime.workers where kind = 'realtime ${kind}' and pid > 0 and state = 'running'`);
    return found.length > 0 && found.map(Number);
  }, { every: 30 });
  return pick(world, pids);
}

function signal(pid, name) {
  try {
    process.kill(pid, constants.signals[name]);
  } catch (error) {
    if (error.code !== 'ESRCH') {
      throw error;
    }
  }
}

// SQL that may fail, because something else goes wrong at the same time; until it succeeds. Its success may be lost with the
// connection, so it has to bear being done twice. before: what every try begins with.
const insist = (world, text, before = () => {}) =>
  until(`success of ${text}`, async () => {
    await before();
    const { notices, exited } = await world.server.attempt(text);
    const error = notices.find((line) => /^(ERROR|FATAL|PANIC):/.test(line));
    if (error) {
      throw new Error(error);
    }
    return !exited && !isCut(notices);
  }, { seconds: 30, every: 50 });

const ATTACHED = `(select c.oid::regclass::text as name, pg_get_expr(c.relpartbound, c.oid) as bound from pg_class c join pg_inherits i on i.inhrelid = c.oid
  where i.inhparent = 'realtime.messages'::regclass)`;

// Statements of a transaction that detach a partition, and attach it, if that has not been done.
const unlessDone = (name, attached, statement) => `do $$ begin
  if exists (select from pg_inherits where inhrelid = '${name}'::regclass and inhparent = 'realtime.messages'::regclass) is not ${attached} then
    ${statement};
  end if; end $$;`;
const detach = (name) => unlessDone(name, false, `alter table realtime.messages detach partition ${name}`);
const attach = (name, bound) => unlessDone(name, true, `alter table realtime.messages attach partition ${name} ${bound}`);

// The partition where messages of now go: { name, bound }.
async function presentPartition(world) {
  const [line] = await world.server.sql(`select name || '|' || bound from ${ATTACHED} p
    where name = to_char(now() at time zone 'utc', '"realtime.messages_"YYYY_MM_DD') or bound = 'DEFAULT' order by bound = 'DEFAULT' limit 1`);
  const [name, bound] = line.split('|');
  return { name, bound };
}

// Kills a process; resolves when the server has begun anew for it, and has forgotten what was in its shared memory.
async function crash({ server, history }, pid) {
  const from = await server.logPosition();
  signal(pid, 'SIGKILL');
  const deadline = performance.now() + 3000;
  // Another fault may have ended that process just before: then nothing crashes.
  while (performance.now() < deadline && !/all server processes terminated; reinitializing/.test(await server.logSince(from))) {
    await pause(5);
  }
  if (performance.now() < deadline) {
    history.forgot();
  }
}

// A server that crashes while the disk is full can't replay its WAL, and ends: PostgreSQL leaves it to somebody to make room and
// start it again. `from`: where its log was before. Nothing else may have ended it.
async function startIfOutOfSpace({ server, history }, from) {
  if (await server.runs()) {
    return;
  }
  if (!/startup FATAL: .*No space left on device/.test(await server.logSince(from))) {
    throw new Error('the server has ended');
  }
  history.note('the server ended, since it had no space to recover; it is started again');
  history.forgot();
  await server.script('start');
}

// Stops the server in this way and starts it again.
async function restart({ server, history }, mode) {
  const from = await server.logPosition();
  await server.script('stop', mode);
  history.forgot();
  await server.script('start');
  if (mode === 'fast' && /received immediate shutdown request/.test(await server.logSince(from))) {
    throw new Error('a fast shutdown did not end');
  }
}

const terminate = (kind, spares) => ({
  name: `terminate ${kind}`,
  weight: 2,
  spares,
  async inject(world) {
    const pid = await worker(world, kind);
    await insist(world, `select pg_terminate_backend(${pid})`);
  },
});

const several = [
  {
    name: 'terminate decoder again and again',
    weight: 2,
    async inject(world) {
      for (let i = Math.floor(between(world, 2, 8)); i > 0; i--) {
        await terminateAll(world, ['decoder']);
        await pause(between(world, 0, 100));
      }
    },
  },
  {
    // The place where the next decoder begins goes with them.
    name: 'terminate decoder and launcher',
    weight: 2,
    inject: (world) => terminateAll(world, ['decoder', 'launcher']),
  },
  {
    name: 'terminate all workers',
    weight: 2,
    inject: (world) => terminateAll(world, WORKERS),
  },
];

const kill = (kind) => ({
  name: `kill -9 ${kind}`,
  weight: 2,
  crash: true,
  async inject(world) {
    await crash(world, await worker(world, kind));
  },
});

const stall = (kind, spares) => ({
  name: `stall ${kind}`,
  weight: 1,
  spares,
  async inject(world) {
    const pid = await worker(world, kind);
    signal(pid, 'SIGSTOP');
    try {
      await pause(between(world, 50, 300));
    } finally {
      signal(pid, 'SIGCONT');
    }
  },
});

// Sends so many bytes in frames that nobody keeps a history of.
function flood(world, bytes, size) {
  const pad = 'x'.repeat(size);
  for (let sent = 0; sent < bytes; sent += size) {
    pick(world, world.senders).broadcast(pad);
  }
}

const connections = [
  {
    name: 'client cut mid-frame',
    weight: 4,
    spares: ['client', 'database', 'changes'],
    async inject(world) {
      some(world, world.senders, 2).forEach((client) => client.tear(world.random));
    },
  },
  {
    name: 'clients cut off',
    weight: 4,
    spares: ['client', 'database', 'changes'],
    async inject(world) {
      some(world, world.clients, 4).forEach((client) => client.cut());
    },
  },
  {
    // Who comes back to a listener that is behind gets from the history what it will then read from the bus.
    name: 'clients cut off, and a listener stalls when they come back',
    weight: 4,
    spares: ['client', 'database', 'changes'],
    async inject(world) {
      for (let i = 0; i < 3; i++) {
        const pid = await worker(world, 'listener');
        some(world, world.clients, 8).forEach((client) => client.cut());
        await pause(between(world, 20, 90));
        signal(pid, 'SIGSTOP');
        try {
          await pause(between(world, 30, 120));
        } finally {
          signal(pid, 'SIGCONT');
        }
      }
    },
  },
  {
    name: 'slow clients',
    weight: 4,
    spares: ['client', 'database', 'changes'],
    async inject(world) {
      const resume = some(world, world.clients, 3).map((client) => client.pauseReading());
      flood(world, 300_000, 20_000);
      await pause(between(world, 50, 400));
      resume.forEach((go) => go());
    },
  },
  {
    name: 'full queues',
    weight: 3,
    async inject(world) {
      await world.server.set({ 'realtime.client_queue_size': '64kB', 'realtime.client_queue_soft': '64kB' });
      const resume = some(world, world.clients.filter(({ sends }) => !sends), 2).map((client) => client.pauseReading());
      flood(world, 10_000_000, 60_000);
      await pause(between(world, 100, 300));
      resume.forEach((go) => go());
      await world.server.set({ 'realtime.client_queue_size': undefined, 'realtime.client_queue_soft': undefined });
    },
  },
  {
    // The ring of 16 MB goes round while one listener sleeps.
    name: 'bus lapped',
    weight: 2,
    async inject(world) {
      const pid = await worker(world, 'listener');
      signal(pid, 'SIGSTOP');
      try {
        flood(world, 26_000_000, 1_000_000);
        await pause(between(world, 200, 400));
      } finally {
        signal(pid, 'SIGCONT');
      }
    },
  },
  {
    name: 'writers terminated',
    weight: 3,
    spares: ['client', 'database', 'changes'],
    async inject(world) {
      await insist(world, `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'faults_writer' and random() < 0.7`);
    },
  },
  {
    name: 'reload',
    weight: 1,
    spares: ['client', 'database', 'changes'],
    async inject(world) {
      await world.server.sql('select pg_reload_conf()');
    },
  },
];

const ddl = [
  {
    name: 'partition detached and attached in a transaction',
    weight: 3,
    async inject(world) {
      const { name, bound } = await presentPartition(world);
      if (bound !== 'DEFAULT') {
        await insist(world, `begin; ${detach(name)} ${attach(name, bound)} commit;`);
      }
    },
  },
  {
    name: 'partition detached, its rows in the default for a while',
    weight: 3,
    async inject(world) {
      const { name, bound } = await presentPartition(world);
      if (bound === 'DEFAULT') {
        return;
      }
      await insist(world, detach(name));
      await pause(between(world, 20, 200));
      // What has come meanwhile was delivered; it goes home as somebody does it by hand, beyond the triggers.
      await insist(world, `begin; lock table realtime.messages in access exclusive mode; set local session_replication_role = replica;
        alter table ${name} disable trigger all;
        delete from only realtime.messages_default;
        alter table ${name} enable trigger all;
        ${attach(name, bound)} commit;`);
    },
  },
  {
    name: 'new partition',
    weight: 2,
    async inject(world) {
      const day = 400 + Math.floor(between(world, 0, 1000));
      await insist(world, `create table if not exists realtime.faults_${day} partition of realtime.messages
        for values from ((current_date + ${day})::timestamp) to ((current_date + ${day + 1})::timestamp)`);
      await pause(between(world, 0, 50));
      await insist(world, `drop table if exists realtime.faults_${day}`);
    },
  },
  {
    name: 'index',
    weight: 2,
    async inject(world) {
      await insist(world, 'create index if not exists faults_index on realtime.messages (topic, event)');
      await insist(world, 'drop index if exists realtime.faults_index');
    },
  },
  {
    name: 'policies',
    weight: 2,
    async inject(world) {
      await insist(world, `begin; drop policy if exists faults_more on realtime.messages;
        create policy faults_more on realtime.messages for select to authenticated using (topic like 'p%'); commit;`);
      await pause(between(world, 0, 50));
      await insist(world, 'drop policy if exists faults_more on realtime.messages');
    },
  },
  {
    name: 'grants taken and given back',
    weight: 2,
    async inject(world) {
      await insist(world, 'revoke select, insert on realtime.messages from authenticated');
      await pause(between(world, 0, 1200));
      await insist(world, 'grant select, insert on realtime.messages to authenticated');
    },
  },
  {
    name: 'column added and dropped',
    weight: 2,
    async inject(world) {
      await insist(world, `alter table realtime.messages add column if not exists faults text default 'x'`);
      await pause(between(world, 0, 50));
      await insist(world, 'alter table realtime.messages drop column if exists faults');
    },
  },
  {
    name: 'tables rewritten',
    weight: 2,
    async inject(world) {
      await insist(world, `vacuum full ${(await presentPartition(world)).name}`);
      await insist(world, 'vacuum full public.items');
    },
  },
  {
    name: 'published table changed',
    weight: 2,
    async inject(world) {
      await insist(world, `alter table public.items add column if not exists faults int`);
      await insist(world, 'alter table public.items drop column if exists faults');
    },
  },
];

const server = [
  {
    name: 'clock steps',
    weight: 4,
    spares: ['client', 'database', 'changes'],
    async inject(world) {
      const days = Math.round(between(world, -6, 9));
      const noon = await world.server.value(`select to_char(now() + interval '${days} days', 'YYYY-MM-DD 12:00:00')`);
      await world.server.set({ 'realtime.partition_clock': noon });
      await pause(between(world, 50, 300));
      await world.server.set({ 'realtime.partition_clock': undefined });
    },
  },
  {
    name: 'disk full',
    weight: 5,
    spares: ['client', 'database', 'changes'],
    needs: ({ tablespace }) => tablespace !== undefined,
    async inject(world) {
      const { name } = await presentPartition(world);
      const filler = join(world.tablespace, 'filler');
      const from = await world.server.logPosition();
      const moved = await world.server.attempt(`truncate ${name}; alter table ${name} set tablespace faults_small`);
      try {
        if (!moved.exited) {
          await writeFile(filler, Buffer.alloc(64 << 20)).catch((error) => {
            if (error.code !== 'ENOSPC') {
              throw error;
            }
          });
          await pause(between(world, 100, 400));
        }
      } finally {
        await rm(filler, { force: true });
      }
      // Whatever has become of it: it may have been moved though no answer came, and the launcher may have dropped it.
      await insist(world, `select set_config('lock_timeout', '5s', false);
        alter table if exists ${name} set tablespace pg_default; reset lock_timeout`, () => startIfOutOfSpace(world, from));
    },
  },
  {
    name: 'immediate shutdown and start',
    weight: 3,
    isStop: true,
    crash: true,
    inject: (world) => restart(world, 'immediate'),
  },
  {
    name: 'fast shutdown and start',
    weight: 2,
    isStop: true,
    inject: (world) => restart(world, 'fast'),
  },
];

export const FAULTS = [
  terminate('launcher', ['client', 'database', 'changes']),
  terminate('listener', ['client', 'database', 'changes']),
  terminate('authorizer', ['client', 'database', 'changes']),
  terminate('decoder', ['client', 'database', 'changes']),
  terminate('change decoder', ['client', 'database']),
  terminate('changes', ['client', 'database']),
  ...several,
  ...WORKERS.map(kill),
  ...WORKERS.map((kind) => stall(kind, ['client', 'database', 'changes'])),
  ...connections,
  ...ddl.map((fault) => ({ ...fault, isDdl: true })),
  ...server,
];

// Every fault comes up before one comes again, but for weights.
export class Deck {
  #cards = [];

  constructor(world, faults) {
    this.world = world;
    this.faults = faults.filter(({ needs }) => !needs || needs(world));
  }

  // One fault, or two.
  round() {
    const first = this.draw();
    const second = this.world.random() < 0.3 ? this.draw() : first;
    const apart = second === first || (first.isDdl && second.isDdl) || second.isStop || first.isStop;
    return apart ? [first] : [first, second];
  }

  draw() {
    if (this.#cards.length === 0) {
      this.#cards = shuffled(this.world.random, this.faults.flatMap((fault) => Array.from({ length: fault.weight }, () => fault)));
    }
    return this.#cards.pop();
  }
}

