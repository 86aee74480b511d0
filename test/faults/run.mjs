// Rounds of faults against a server of its own:
//     node run.mjs          FAULTS_ROUNDS, FAULTS_SEED, FAULTS_SECONDS, FAULTS_ONLY (a regular expression for faults' names), FAULTS_PORTS
// Exit code 0: nothing was lost without a notice, doubled or out of order, and everything healed.

import { chmod, mkdir } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { pause, until } from '../e2e/lib/poll.mjs';
import { check } from './check.mjs';
import { allWell, Client } from './client.mjs';
import { Deck, FAULTS } from './faults.mjs';
import { excerpt, History } from './history.mjs';
import { randomFrom, shuffled } from './random.mjs';
import { Server } from './server.mjs';
import { Truth } from './truth.mjs';
import { Writer } from './writer.mjs';

const number = (name, standard) => Number(process.env[name] || standard);
const ROUNDS = number('FAULTS_ROUNDS', 300);
const SEED = number('FAULTS_SEED', Math.floor(Math.random() * 1e9));
const SECONDS = number('FAULTS_SECONDS', 600);
const ONLY = process.env.FAULTS_ONLY ?? '';
const MAX_FINDINGS = number('FAULTS_FINDINGS', 5);

const SETTINGS = [
  'fsync = off',
  'logical_decoding_work_mem = 64kB',
  'log_min_duration_statement = -1',
  'realtime.bus_size = 16MB',
  "realtime.ping_interval = '500ms'",
  "realtime.client_timeout = '2s'",
  'realtime.presence_rate = 1000',
  'realtime.max_messages_per_second = 100000',
  'realtime.max_joins_per_second = 100000',
  // Of what a client misses while it is away, that is often enough, and often too little.
  'realtime.history_memory = 1MB',
  'realtime.history_size = 10000',
];

const CLIENTS = [
  { name: 'alice', topic: 'pub', sends: true, present: true },
  { name: 'bob', topic: 'pub', sends: true, vsn: '1.0.0' },
  { name: 'carol', topic: 'pub', changes: true, present: true },
  { name: 'dave', topic: 'pub', changes: true, vsn: '1.0.0' },
  { name: 'erin', topic: 'pub' },
  { name: 'frank', topic: 'priv', isPrivate: true, role: 'authenticated', sends: true, present: true },
  { name: 'grace', topic: 'priv', isPrivate: true, role: 'authenticated', vsn: '1.0.0' },
  { name: 'heidi', topic: 'priv', isPrivate: true, role: 'authenticated', changes: true },
];

// So many of them, which the seed chooses, resume.
const RESUMING = 3;

// In so many rounds of all faults some gaps are recovered, some are too long, and some joins name places from before a crash.
const ENOUGH_ROUNDS = 100;

// ------------------------------------------------------- the world ---------------------------------------------------

const SCHEMA = `
  create table public.items (id bigint primary key, k text);
  grant select on public.items to anon, authenticated;
  alter publication supabase_realtime add table public.items;
  create policy read on realtime.messages for select to authenticated using (true);
  create policy write on realtime.messages for insert to authenticated with check (true);`;

// A small file system for a tablespace; undefined where it can't be mounted.
async function mountSmall(server) {
  const place = join(server.home, 'small');
  await mkdir(place);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=0777', 'faults', place], { stdio: 'pipe' });
  } catch (error) {
    console.log(`disk full is left out: a tmpfs can't be mounted (${String(error.stderr).trim()})`);
    return undefined;
  }
  await mkdir(join(place, 'space'));
  await chmod(join(place, 'space'), 0o777);
  execFileSync('chown', ['--reference', join(server.home, 'data'), join(place, 'space')]);
  execFileSync('chmod', ['700', join(place, 'space')]);
  await server.sql(`create tablespace faults_small location '${join(place, 'space')}'`);
  return place;
}

async function makeWorld(server, random) {
  const tablespace = await mountSmall(server);
  await server.sql(SCHEMA);
  const truth = new Truth(server);
  await truth.start();
  const resuming = shuffled(random, CLIENTS).slice(0, RESUMING);
  const clients = CLIENTS.map((options) => new Client(server, { ...options, resumes: resuming.includes(options) }));
  const writers = ['w1', 'w2', 'w3'].map((name) => new Writer(server, name, { random, synchronous: name !== 'w3' }));
  const fence = new Writer(server, 'fence', { random });
  return { server, random, tablespace, truth, clients, senders: clients.filter(({ sends }) => sends), writers, fence };
}

// ------------------------------------------------------- a round -----------------------------------------------------

async function writing(writer, world, until_) {
  while (performance.now() < until_.time) {
    await writer.transaction(world.history);
    await pause(world.random() * 10);
  }
}

async function pushing(client, world, until_) {
  while (performance.now() < until_.time) {
    for (let i = Math.floor(world.random() * 6); i > 0 && client.unanswered < 16; i--) {
      client.broadcast();
    }
    await pause(world.random() * 8);
  }
}

async function injecting(fault, world, delay) {
  await pause(delay);
  world.history.note(`fault: ${fault.name}`);
  await fault.inject(world);
  world.history.note(`healed: ${fault.name}`);
}

// Waits until all clients have seen these messages. False: somebody was told of a gap after `from`, or cut off, and may have
// missed them or sent them in vain.
async function seenByAll({ history, clients }, keys, from) {
  const sent = history.events.filter(({ type, key }) => type === 'sent' && keys.has(key));
  const missing = () => clients.flatMap(({ name, topic, kinds }) => {
    const seen = new Set(history.events.slice(from).filter(({ type, who }) => type === 'seen' && who === name).map(({ key }) => key));
    return sent
      .filter(({ key, kind, topic: t }) => kinds.includes(kind) && (kind === 'changes' || t === topic) && !seen.has(key))
      .map(({ key, kind }) => `${name}: ${key} (${kind})`);
  });
  const told = () => history.events.slice(from).some(({ type }) => type === 'notice' || type === 'cut');
  await until(() => `the last messages of the round: ${missing().join(', ')}`, () => told() || missing().length === 0, { seconds: 15, every: 8 });
  return missing().length === 0;
}

// The last messages of a round, one of each kind; everybody has to see them.
async function fenceOff(world) {
  const { history, clients, senders, fence } = world;
  for (let attempt = 0; attempt < 8; attempt++) {
    await until('answers to all pushes', () => senders.every(({ unanswered }) => unanswered === 0), { seconds: 10, every: 5 });
    await allWell(clients, 25);
    const from = history.events.length;
    const keys = new Set(await fence.fence(history, ['pub', 'priv']));
    senders.forEach((client) => client.broadcast());
    history.events.slice(from).filter(({ type, kind }) => type === 'sent' && kind === 'client').forEach(({ key }) => keys.add(key));
    if (await seenByAll(world, keys, from)) {
      await until('the last acknowledgements', () => senders.every(({ unanswered }) => unanswered === 0), { seconds: 10, every: 5 });
      return;
    }
  }
  throw new Error('clients are cut off again and again');
}

// realtime.presence says exactly who is connected and present, for each listener.
async function checkPresence({ server, clients }) {
  const wanted = clients.filter(({ present }) => present).flatMap(({ name, topic }) => [0, 1].map(() => `${topic} ${name}`)).sort().join(', ');
  let found;
  await until(() => `presence is ${wanted}; it is ${found}`, async () => {
    found = (await server.sql(`select topic || ' ' || key from realtime.presence order by 1`)).join(', ');
    return found === wanted;
  }, { seconds: 10, every: 30 });
}

// What the log must not hold. kills: signals of our own are expected, and what a server says whose recovery was broken off.
function logFindings(log, kills) {
  const bad = log.split('\n').filter((line) => /PANIC:|TRAP:|terminated by signal|segfault|stack smashing|corrupt/i.test(line) &&
    !(kills && /terminated by signal 9|startup HINT: +This probably means that some data is corrupted/.test(line)));
  return bad.map((line) => ({ what: 'server log', who: [], keys: [], at: Infinity, text: line }));
}

// The distinct complaints of our workers, for the report.
function remember(complaints, log) {
  for (const line of log.split('\n')) {
    const found = /\] realtime [a-z ]+ (WARNING|ERROR|FATAL|PANIC): +(.*)$/.exec(line);
    if (found) {
      const text = `${/\] (realtime [a-z ]+) [A-Z]+:/.exec(line)[1]} ${found[1]}: ${found[2].replaceAll(/\d+/g, 'N')}`;
      complaints.set(text, (complaints.get(text) ?? 0) + 1);
    }
  }
}

async function playRound(world, faults, complaints) {
  const { server, random, clients, senders, writers, truth } = world;
  const history = (world.history = new History());
  clients.forEach((client) => client.use(history));
  const logFrom = await server.logPosition();
  const findings = [];
  let committed = [];
  try {
    const span = 150 + random() * 250;
    const end = { time: performance.now() + span };
    const traffic = Promise.all([...writers.map((w) => writing(w, world, end)), ...senders.map((c) => pushing(c, world, end))]);
    const outcomes = await Promise.allSettled([traffic, ...faults.map((fault) => injecting(fault, world, random() * span))]);
    const failure = outcomes.find(({ status }) => status === 'rejected');
    if (failure) {
      throw failure.reason;
    }
    await fenceOff(world);
    await checkPresence(world);
  } catch (error) {
    const who = clients.filter(({ name, well }) => !well || error.message.includes(`${name}:`)).map(({ name }) => name);
    const states = clients.filter(({ name }) => who.includes(name)).map(({ state }) => state);
    findings.push({ what: 'not healed', who, keys: [], at: Infinity, text: [error.message, ...states].join('; ') });
  }
  try {
    const sent = new Set(history.events.filter(({ type }) => type === 'sent').map(({ key }) => key));
    committed = [...new Set(await truth.take())].filter((key) => sent.has(key));
  } catch (error) {
    findings.push({ what: 'not healed', who: [], keys: [], at: Infinity, text: error.message });
  }
  const crash = faults.some((fault) => fault.crash);
  const volatileCommits = new Set(crash ? history.events.filter(({ key }) => key?.startsWith('w3.') || key?.startsWith('gone:')).map(({ key }) => key) : []);
  const spared = faults.length === 1 ? faults[0].spares ?? [] : [];
  for (const event of history.events) {
    if (event.type === 'notice' && !event.text.startsWith('the connection ended')) {
      event.kinds = event.kinds.filter((kind) => !spared.includes(kind));
    }
  }
  const result = check(history, committed, { volatileCommits });
  const log = await server.logSince(logFrom);
  remember(complaints, log);
  findings.push(...result.findings, ...logFindings(log, crash));
  return { findings, figures: result.figures, history, log };
}

// ------------------------------------------------------- the run -----------------------------------------------------

function report(heading, { findings, history, log }) {
  console.log(`\n${heading}`);
  for (const finding of findings.slice(0, 4)) {
    console.log(`* ${finding.what}: ${finding.text}`);
    console.log(excerpt(history, finding));
  }
  console.log(`the server's log of that round:\n${log.split('\n').filter((line) => !/STATEMENT:/.test(line)).slice(-40).map((line) => `  ${line.slice(0, 220)}`).join('\n')}`);
}

async function healthy(server) {
  let bad;
  await until(() => `health() is well: ${bad}`, async () => {
    bad = (await server.sql('select row_to_json(h) from realtime.health() h where not ok')).join('\n');
    return bad === '';
  }, { seconds: 30, every: 200 });
}

// Asked to end, it ends the round, and the server.
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    interrupted = true;
  });
}

async function main() {
  console.log(`faults: seed ${SEED}, ${ROUNDS} rounds, ${SECONDS} s at most`);
  const random = randomFrom(SEED);
  const server = await Server.start(SETTINGS, { listeners: 2, ports: process.env.FAULTS_PORTS?.split(' ') });
  const totals = { rounds: 0, findings: 0 };
  const times = new Map();
  const complaints = new Map();
  const began = performance.now();
  let world;
  const failures = [];
  try {
    world = await makeWorld(server, random);
    const first = new History();
    world.clients.forEach((client) => client.start(first));
    await allWell(world.clients, 30);
    const deck = new Deck(world, FAULTS.filter(({ name }) => new RegExp(ONLY).test(name)));
    for (let round = 1; round <= ROUNDS && !interrupted && performance.now() - began < SECONDS * 1000; round++) {
      const faults = deck.round();
      const at = performance.now();
      const result = await playRound(world, faults, complaints);
      const took = performance.now() - at;
      const name = faults.map((fault) => fault.name).join(' + ');
      if (faults.length === 1) {
        times.set(name, [...(times.get(name) ?? []), took]);
      }
      totals.rounds++;
      totals.findings += result.findings.length;
      for (const [figure, value] of Object.entries(result.figures)) {
        totals[figure] = (totals[figure] ?? 0) + value;
      }
      if (process.env.FAULTS_VERBOSE) {
        console.log(`round ${round}: ${name}: ${Math.round(took)} ms, ${JSON.stringify(result.figures)}`);
      }
      if (result.findings.length > 0) {
        const heading = `round ${round} (${name}): ${result.findings.length} findings`;
        report(heading, result);
        failures.push([heading, ...result.findings.slice(0, 4).map(({ what, text }) => `  ${what}: ${text.replaceAll(/\s+/g, ' ')}`)]);
        if (failures.length >= MAX_FINDINGS) {
          break;
        }
      }
    }
    try {
      await healthy(server);
    } catch (error) {
      totals.findings++;
      console.log(error.message);
    }
    totals.findings += untested(totals).length;
    summary(world, totals, times, complaints, failures, (performance.now() - began) / 1000);
  } finally {
    await Promise.all(world?.clients.map((client) => client.stop()) ?? []);
    world?.writers.concat(world.fence).forEach((writer) => writer.close());
    if (process.env.FAULTS_KEEP) {
      console.log(`the server is in ${server.dir}`);
    } else {
      await server.script('stop', 'immediate');
      if (world?.tablespace) {
        execFileSync('umount', [world.tablespace]);
      }
      await server.destroy();
    }
  }
  if (totals.rounds < ROUNDS && failures.length < MAX_FINDINGS) {
    console.log(`only ${totals.rounds} of ${ROUNDS} rounds in ${SECONDS} s`);
    totals.findings++;
  }
  return totals.findings === 0 ? 0 : 1;
}

// What has to happen in many rounds of all faults, and did not.
function untested({ rounds, recovered, inGaps, outOfReach, forgotten }) {
  if (ONLY || rounds < ENOUGH_ROUNDS) {
    return [];
  }
  const wanted = [[recovered > 0 && inGaps > 0, 'a gap with messages is recovered'], [outOfReach > 0, 'a gap is longer than the history'],
    [forgotten > 0, 'a join names a place from before a crash']];
  return wanted.filter(([happened]) => !happened).map(([, text]) => text);
}

function summary({ clients, writers }, totals, times, complaints, failures, seconds) {
  console.log(`\nmean time of rounds with one fault:`);
  for (const [name, list] of [...times].sort()) {
    console.log(`  ${String(Math.round(list.reduce((a, b) => a + b, 0) / list.length)).padStart(6)} ms  ${String(list.length).padStart(3)} x  ${name}`);
  }
  const merged = (maps) => {
    const all = new Map();
    maps.forEach((map) => map.forEach((n, text) => all.set(text, (all.get(text) ?? 0) + n)));
    return [...all].sort((a, b) => b[1] - a[1]);
  };
  const list = (title, entries) => {
    console.log(`${title}:`);
    entries.slice(0, 25).forEach(([text, n]) => console.log(`  ${String(n).padStart(6)} x  ${text.slice(0, 200)}`));
  };
  list('connections ended', merged(clients.map(({ closes }) => closes)));
  list('system errors that are no notice', merged(clients.map(({ remarks }) => remarks)));
  list('what our workers complained of', merged([complaints]));
  list('errors of writers', merged(writers.map(({ errors }) => errors)));
  const commits = writers.map(({ stats }) => stats).reduce((a, b) => ({ committed: a.committed + b.committed, failed: a.failed + b.failed, unknown: a.unknown + b.unknown }));
  console.log(`transactions: ${commits.committed} committed, ${commits.failed} rolled back or failed, ${commits.unknown} whose end was not acknowledged`);
  console.log(`clients that resume: ${clients.filter(({ resumes }) => resumes).map(({ name }) => name).join(', ')}: ${totals.recovered} gaps recovered with ` +
    `at least ${totals.inGaps} messages, ${totals.unrecovered} not: ${totals.outOfReach} since the history did not reach back, ` +
    `${totals.forgotten} since the server had lost its memory, the others since messages were lost`);
  untested(totals).forEach((text) => console.log(`never happened: ${text}`));
  failures.flat().forEach((text) => console.log(text.slice(0, 300)));
  console.log(`faults: seed ${SEED}: ${totals.rounds} rounds in ${Math.round(seconds)} s, ${totals.sent} messages sent, ${totals.seen} received, ` +
    `${totals.notices} notices, ${totals.missedWithNotice} missed with a notice, ${totals.findings} findings`);
}

process.exitCode = await main();
process.exit();
