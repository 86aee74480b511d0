// Compares what the server sent with what was recorded. Volatile values (uuids, presence refs,
// entry ids, times) may differ from the recording, but not from each other: two that are equal in
// the recording have to be equal here, two that differ have to differ.

import { nodeAt, parseLossless } from './json.mjs';

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const VOLATILE = new RegExp(`${UUID}|\\d+(?= seconds ago)|(?<=\\[message: )\\d+`, 'g');
const UUID_HERE = new RegExp(UUID, 'y');
const NUMBER_HERE = /\d+/y;
const IS_UUID = new RegExp(`^${UUID}$`);
const TIMESTAMP = /^\d{4,}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:\d\d)?)?( BC)?$/;

// A place in an expected value where a rule stands for the value.
export class Expect {
  constructor(what, test) {
    this.what = what;
    this.test = test;
  }

  toJSON() {
    return `<${this.what}>`;
  }
}

export const matching = (pattern) =>
  new Expect(`text matching ${pattern}`, (value) => typeof value === 'string' && pattern.test(value));
export const anything = new Expect('anything', () => true);

// Which recorded value stands for which of ours.
export class Bindings {
  #maps;
  #literal;

  // literal: uuids that a client or SQL chose, which must come back as they are.
  constructor(literal = new Set(), maps = {}) {
    this.#literal = literal;
    this.#maps = maps;
  }

  // A copy to try a comparison with.
  fork() {
    const maps = {};
    for (const [kind, { there, back }] of Object.entries(this.#maps)) {
      maps[kind] = { there: new Map(there), back: new Map(back) };
    }
    return new Bindings(this.#literal, maps);
  }

  adopt(other) {
    this.#maps = other.#maps;
  }

  isLiteral(uuid) {
    return this.#literal.has(uuid);
  }

  // Ours that stands for a recorded value, if one does.
  get(kind, recorded) {
    return this.#maps[kind]?.there.get(recorded);
  }

  // Ties the two together; false if one of them is tied to something else.
  bind(kind, recorded, ours) {
    const map = (this.#maps[kind] ??= { there: new Map(), back: new Map() });
    if (map.there.has(recorded) || map.back.has(ours)) {
      return map.there.get(recorded) === ours && map.back.get(ours) === recorded;
    }
    map.there.set(recorded, ours);
    map.back.set(ours, recorded);
    return true;
  }
}

// True if a text is the recorded one, volatile parts apart.
export function sameText(expected, actual, bindings) {
  let at = 0;
  let from = 0;
  for (const found of expected.matchAll(VOLATILE)) {
    const literal = expected.slice(from, found.index);
    if (!actual.startsWith(literal, at)) {
      return false;
    }
    at += literal.length;
    from = found.index + found[0].length;
    const isUuid = found[0].length === 36 && found[0][8] === '-';
    const here = isUuid ? UUID_HERE : NUMBER_HERE;
    here.lastIndex = at;
    const value = here.exec(actual)?.[0];
    if (value === undefined) {
      return false;
    }
    if (isUuid && (bindings.isLiteral(found[0]) ? value !== found[0] : !bindings.bind('uuid', found[0], value))) {
      return false;
    }
    at += value.length;
  }
  return actual.slice(at) === expected.slice(from);
}

// Turns a JavaScript value, which may hold Expects, into a node as parseLossless makes them.
function toNode(value) {
  if (value instanceof Expect) {
    return { kind: 'expect', value };
  }
  if (Array.isArray(value)) {
    return { kind: 'array', items: value.map(toNode) };
  }
  switch (typeof value) {
    case 'string':
      return { kind: 'string', value };
    case 'number':
      return { kind: 'number', text: JSON.stringify(value) };
    case 'object':
      if (value !== null) {
        return { kind: 'object', members: Object.entries(value).map(([key, item]) => [key, toNode(item)]) };
      }
  }
  return { kind: 'literal', value };
}

function sameNode(expected, actual, bindings, keys) {
  if (expected.kind === 'expect') {
    return expected.value.test(JSON.parse(actual.raw));
  }
  if (expected.kind !== actual.kind) {
    return false;
  }
  const key = keys.at(-1);
  switch (expected.kind) {
    case 'string':
      if (key === 'phx_ref' || key === 'phx_ref_prev') {
        return actual.value.length > 0 && bindings.bind('phx_ref', expected.value, actual.value);
      }
      if (key === 'commit_timestamp') {
        return TIMESTAMP.test(actual.value);
      }
      return sameText(expected.value, actual.value, bindings);
    case 'number':
      if (key === 'id' && keys.at(-3) === 'postgres_changes') {
        const id = Number(actual.text);
        return Number.isInteger(id) && id >= 1 && id < 2 ** 31 && bindings.bind('entry', expected.text, actual.text);
      }
      return expected.text === actual.text;
    case 'literal':
      return expected.value === actual.value;
    case 'array':
      if (key === 'ids' && keys.length === 2) {
        return sameIds(expected.items, actual.items, bindings);
      }
      return (
        expected.items.length === actual.items.length &&
        expected.items.every((item, i) => sameNode(item, actual.items[i], bindings, [...keys, i]))
      );
    case 'object':
      return sameMembers(expected.members, actual.members, bindings, keys);
  }
  return false;
}

// The ids of a change have no order; they were tied by the reply to the join.
function sameIds(expected, actual, bindings) {
  const wanted = new Set(expected.map(({ text }) => bindings.get('entry', text)));
  const got = new Set(actual.map(({ text }) => text));
  return wanted.size === got.size && [...got].every((id) => wanted.has(id));
}

// Members in any order; of equal keys the first stands against the first, and so on.
function sameMembers(expected, actual, bindings, keys) {
  if (expected.length !== actual.length) {
    return false;
  }
  const left = [...actual];
  const later = [];
  for (const [key, node] of expected) {
    if (IS_UUID.test(key) && !bindings.isLiteral(key) && bindings.get('uuid', key) === undefined) {
      later.push([key, node]);
      continue;
    }
    const name = bindings.get('uuid', key) ?? key;
    const at = left.findIndex(([other]) => other === name);
    if (at < 0 || !sameNode(node, left[at][1], bindings, [...keys, key])) {
      return false;
    }
    left.splice(at, 1);
  }
  return later.every(([key, node]) => {
    for (let at = 0; at < left.length; at++) {
      const attempt = bindings.fork();
      if (
        IS_UUID.test(left[at][0]) &&
        attempt.bind('uuid', key, left[at][0]) &&
        sameNode(node, left[at][1], attempt, [...keys, key])
      ) {
        bindings.adopt(attempt);
        left.splice(at, 1);
        return true;
      }
    }
    return false;
  });
}

// A recorded text: as JSON if it is JSON, with the user's payload byte for byte; else as it is.
function sameRecordedText(expected, actual, bindings) {
  let wanted;
  try {
    wanted = parseLossless(expected);
  } catch {
    return sameText(expected, actual, bindings);
  }
  let got;
  try {
    got = parseLossless(actual);
  } catch {
    return false;
  }
  if (!sameNode(wanted, got, bindings, [])) {
    return false;
  }
  const path = [wanted.kind === 'array' ? 4 : 'payload', 'payload'];
  const payload = nodeAt(wanted, path);
  return payload === undefined || sameText(payload.raw, nodeAt(got, path).raw, bindings);
}

function compare(expected, { text, bytes }, bindings) {
  if (expected.hex !== undefined) {
    const wanted = Buffer.from(expected.hex, 'hex').toString('latin1');
    return bytes !== undefined && sameText(wanted, bytes.toString('latin1'), bindings);
  }
  if (text === undefined) {
    return false;
  }
  if (expected.text !== undefined) {
    return expected.text instanceof Expect
      ? expected.text.test(text)
      : sameRecordedText(expected.text, text, bindings);
  }
  let got;
  try {
    got = parseLossless(text);
  } catch {
    return false;
  }
  return sameNode(toNode(expected.json), got, bindings, []);
}

// True if { text } or { bytes } is what { json }, { text } or { hex } says. Values are tied
// together only if it is.
export function same(expected, actual, bindings) {
  const attempt = bindings.fork();
  if (!compare(expected, actual, attempt)) {
    return false;
  }
  bindings.adopt(attempt);
  return true;
}
