// Reads a recorded conversation and makes it ready to be played: placeholders filled in, deliberate
// differences applied.

import { readFileSync } from 'node:fs';
import { Expect } from './match.mjs';
import { readFrame } from './frames.mjs';

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const FOLDER = new URL('../transcripts/', import.meta.url);

export function loadTranscript(name) {
  return JSON.parse(readFileSync(new URL(`${name}.json`, FOLDER), 'utf8'));
}

// Fills {{…}}, {ws} and {api} in every text of a value.
function expand(value, places) {
  if (typeof value === 'string') {
    return value
      .replace(/\{\{repeat '([^']*)' (\d+)\}\}/g, (_, text, times) => text.repeat(Number(times)))
      .replace(/\{\{(\w+)\}\}/g, (whole, name) => places.tokens[name] ?? whole)
      .replace(/\{(ws|api)\}/g, (_, name) => places[name]);
  }
  if (value instanceof Expect || value === null || typeof value !== 'object') {
    return value;
  }
  if (Array.isArray(value)) {
    return value.map((item) => expand(item, places));
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [expand(key, places), expand(item, places)]));
}

// What the server does in a step, as opposed to a client.
export function isExpectation({ dir, by }) {
  return dir === 'recv' || (dir === 'close' && by === 'server');
}

const BODY = ['json', 'text', 'hex'];

// Applies the differences of a scenario:
//   { step, replace }   other fields for a step; a new json, text or hex takes the place of the old
//   { step, absent }    what was received there does not come
//   { step, skip }      the client doesn't do it
//   { step, insert }    more steps after that one
// `step` may be a list. Other entries (pace, most, extra, settings) are the player's.
function applyDifferences(steps, differences, name) {
  const changed = steps.map((step, index) => ({ ...step, index, after: [] }));
  for (const difference of differences) {
    for (const index of [difference.step ?? []].flat()) {
      const step = changed[index];
      if (!step) {
        throw new Error(`${name} has no step ${index}`);
      }
      if (difference.replace) {
        if (BODY.some((field) => field in difference.replace)) {
          BODY.forEach((field) => delete step[field]);
        }
        Object.assign(step, difference.replace);
      }
      if ((difference.absent && !isExpectation(step)) || (difference.skip && isExpectation(step))) {
        throw new Error(`${name}, step ${index}: absent is for what is received, skip for what is done`);
      }
      step.gone ||= Boolean(difference.absent || difference.skip);
      for (const more of difference.insert ?? []) {
        step.after.push({ dir: 'recv', at_ms: step.at_ms, ...more, index, inserted: true });
      }
    }
  }
  return changed.flatMap(({ gone, after, ...step }) => (gone ? after : [step, ...after]));
}

// Uuids that the client or SQL chose: they come back as they are.
function literalUuids(steps, tokens) {
  const texts = steps
    .filter((step) => !isExpectation(step))
    .map(({ json, text, hex, request, decoded }) => JSON.stringify([json, text, request, decoded]) + fromHex(hex));
  for (const token of Object.values(tokens)) {
    texts.push(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  }
  return new Set(texts.flatMap((text) => text.match(UUID) ?? []));
}

function fromHex(hex) {
  return hex === undefined ? '' : Buffer.from(hex, 'hex').toString('latin1');
}

// { name, steps, literal, differences } of a scenario, ready to be played.
export function prepare(scenario, differences, places) {
  const steps = expand(applyDifferences(scenario.steps, differences, scenario.name), places);
  return { name: scenario.name, steps, literal: literalUuids(steps, places.tokens), differences };
}

// Some scenarios subscribe to all tables of a schema, so they would see what the others write.
const ANY_TABLE = 'any table';

// The topics and recorded tables that a scenario touches. Scenarios that share one are not played
// at the same time.
export function resources(scenario) {
  const found = new Set();
  for (const step of scenario.steps) {
    if (step.dir === 'send' || step.dir === 'recv') {
      const { topic } = readFrame(step);
      if (typeof topic === 'string' && topic !== 'phoenix') {
        found.add(topic);
      }
    }
    for (const [, table] of JSON.stringify([step.text, step.json, step.request]).matchAll(/\b((?:rec|public)\.\w+)/g)) {
      found.add(table);
      found.add(ANY_TABLE);
    }
    const messages = step.request?.json?.messages;
    for (const message of Array.isArray(messages) ? messages : []) {
      found.add(`realtime:${message?.topic}`);
    }
    const entries = readFrame(step).payload?.config?.postgres_changes;
    for (const entry of Array.isArray(entries) ? entries : []) {
      found.add(`${entry?.schema}.${entry?.table}`);
      found.add(ANY_TABLE);
    }
  }
  return found;
}
