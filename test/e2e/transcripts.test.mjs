// Plays the recorded conversations with the reference server against ours: once with one listener
// and the server's own paths, once with two and the paths that the SDKs use.

import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { Instance } from './lib/instance.mjs';
import { loadTranscript, prepare, resources } from './lib/transcript.mjs';
import { play, TooSlow } from './lib/replay.mjs';
import { transcriptTokens } from './lib/tokens.mjs';
import { DIFFERENCES, DONE, differencesOf } from './differences.mjs';

const folder = new URL('./transcripts/', import.meta.url);
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.json') && file !== 'tokens.json')
  .map((file) => file.slice(0, -'.json'.length));

// Scenarios that wait for an issue that isn't done.
const waiting = new Map(
  readFileSync(new URL('./not-yet', import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line && !line.startsWith('#'))
    .map((line) => line.split(' '))
    .map(([name, issue]) => [name, Number(issue)]),
);

test('the lists name recorded scenarios, and nothing waits for an issue that is done', () => {
  for (const name of [...waiting.keys(), ...Object.keys(DIFFERENCES)]) {
    assert.ok(names.includes(name), name);
  }
  for (const [name, issue] of waiting) {
    assert.ok(!DONE.has(issue), `${name} waits for issue ${issue}, which is done`);
  }
});

// Two scenarios that touch the same topic or table run one after the other.
const ends = new Map();
async function alone(keys, work) {
  const before = [...keys].map((key) => ends.get(key));
  const run = Promise.allSettled(before).then(work);
  for (const key of keys) {
    ends.set(key, run);
  }
  return run;
}

const playable = names.filter((name) => !waiting.has(name) && (!process.env.SCENARIO || process.env.SCENARIO === name));
const settingsOf = (name) => differencesOf(name).find(({ settings }) => settings)?.settings;

async function startWith(settings, listeners) {
  const instance = await Instance.start({
    listeners,
    settings: ['fsync = off', ...Object.entries(settings).map(([name, value]) => `${name} = ${value}`)],
  });
  await instance.rows(readFileSync(new URL('setup.sql', folder), 'utf8'), 60);
  return instance;
}

async function playOn(instance, name, paths) {
  const scenario = loadTranscript(name);
  const session = instance.session();
  try {
    // Some tokens run out while it is played, so they are made when it begins.
    const failures = await alone(resources(scenario), () => {
      const tokens = transcriptTokens(JSON.parse(readFileSync(new URL('tokens.json', folder))), instance.secret);
      const prepared = prepare(scenario, differencesOf(name), { tokens, ...paths });
      return play(prepared, { port: instance.port, sql: (text) => session.run(text) });
    });
    assert.equal(failures.length, 0, `${failures.length} difference(s) from the recording:\n    ${failures.join('\n    ')}`);
  } finally {
    session.close();
  }
}

for (const { listeners, ...paths } of [
  { listeners: 1, ws: '/socket/websocket', api: '/api' },
  { listeners: 2, ws: '/realtime/v1/websocket', api: '/realtime/v1/api' },
]) {
  describe(`transcripts, ${listeners} listener(s), ${paths.ws}`, { concurrency: 8, timeout: 180_000 }, () => {
    let instance;
    before(async () => {
      ends.clear();
      instance = await startWith({}, listeners);
    });
    after(() => instance?.destroy());

    for (const name of playable.filter((name) => !settingsOf(name))) {
      test(name, () => playOn(instance, name, paths));
    }
  });
}

describe('transcripts with settings of their own', { concurrency: 2, timeout: 180_000 }, () => {
  for (const name of playable.filter(settingsOf)) {
    const once = async () => {
      const instance = await startWith(settingsOf(name), 1);
      try {
        await playOn(instance, name, { ws: '/socket/websocket', api: '/api' });
      } finally {
        await instance.destroy();
      }
    };
    const again = (error) => {
      if (error instanceof TooSlow) {
        return once();
      }
      throw error;
    };
    test(name, () => once().catch(again).catch(again));
  }
});
