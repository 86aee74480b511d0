// Which changes does a filter let through? The same that PostgreSQL itself finds with the same condition.

import { after, afterEach, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Instance } from './lib/instance.mjs';
import { abandon, leave } from './lib/client.mjs';
import { listen, literal, quoted, refusal } from './lib/changes.mjs';
import { until } from './lib/poll.mjs';

const COMPARISONS = { eq: '=', neq: '<>', lt: '<', lte: '<=', gt: '>', gte: '>=', isdistinct: 'is distinct from' };
const PATTERNS = { like: '~~', ilike: '~~*', match: '~', imatch: '~*' };
const LAST = 1000;

// The values of a column, what they are compared with, and patterns if the type has them.
const TYPES = {
  int4: { values: ['-5', '0', '7', '2147483647'], with: ['0', '7'] },
  int8: { values: ['-9223372036854775808', '9', '10'], with: ['9', '9223372036854775807'] },
  numeric: { values: ['1.5', '1.50', '-2', '1e30', 'NaN', 'Infinity'], with: ['1.500', 'NaN'] },
  float8: { values: ['0.1', '-0', '1e300', 'NaN', '-Infinity'], with: ['0', '0.1'] },
  bool: { values: ['true', 'false'], with: ['true', 'f'], is: ['true', 'false', 'unknown'] },
  text: {
    values: ['Hello', 'hello', '', 'a,b', 'x"y\\z', 'été', ' padded ', 'null'],
    with: ['hello', 'a,b', 'x"y\\z', ' padded ', 'null', 'été'],
    patterns: ['h%', '%l_o', '^[hx]', 'É', '(a|b)', 'a,b'],
  },
  'varchar(20)': { values: ['abc', 'ABC', 'b'], with: ['abc'], patterns: ['a%', '^A'] },
  'char(5)': { values: ['ab', 'abcde', 'B'], with: ['ab', 'ab   '], patterns: ['ab%', '^ab'] },
  name: { values: ['n1', 'N2'], with: ['n1'], patterns: ['n%', '^n'] },
  uuid: { values: ['aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee'], with: ['AAAAAAAA-BBBB-4CCC-8DDD-EEEEEEEEEEEE'] },
  date: { values: ['2024-02-29', '0001-01-01 BC', 'infinity'], with: ['2024-02-29', '2024-03-01'] },
  timestamptz: { values: ['2024-02-29 12:34:56.789+02', '-infinity'], with: ['2024-02-29T10:34:56.789Z', '2025-01-01'] },
  timestamp: { values: ['2024-02-29 12:34:56', '1999-12-31'], with: ['2024-02-29T12:34:56'] },
  interval: { values: ['1 day', '24:00', '-1 mon'], with: ['1 day'] },
  bytea: { values: ['\\x', '\\x00ff10', '\\x5c'], with: ['\\x00ff10'] },
  inet: { values: ['10.0.0.1', '10.0.0.0/8'], with: ['10.0.0.1'] },
  jsonb: { values: ['{"a": 1, "b": [1]}', 'null', '3', '"s"'], with: ['{"b":[1],"a":1}', '3'] },
  'int4[]': { values: ['{1,2}', '{}', '{2,NULL}'], with: ['{1,2}', '{2}'] },
  'text[]': { values: ['{a,"b,c"}', '{}'], with: ['{a,"b,c"}'] },
  int4range: { values: ['[1,5)', 'empty', '(,3)'], with: ['[1,4]'] },
  mood: { values: ['sad', 'ok', 'happy'], with: ['ok'] },
  positive: { values: ['1', '7'], with: ['7'] },
  short: { values: ['abc', 'Abd'], with: ['abc'], patterns: ['a%', 'B'] },
  spot: { values: ['(1,"a b")', '(2,)'], with: ['(1,"a b")'] },
  'bit(4)': { values: ['1010', '0000'], with: ['1010'] },
};

// A type name with a length would cut what is compared with.
const UNSIZED = { 'varchar(20)': 'varchar', 'char(5)': 'bpchar', 'bit(4)': 'varbit' };

const tableOf = (type) => `f_${type.replaceAll(/\W+/g, '_')}`;

let instance;
before(async () => {
  instance = await Instance.start({ settings: ['fsync = off'] });
  await instance.rows(`
    select realtime.setup_supabase();
    create type mood as enum ('sad', 'ok', 'happy');
    create domain positive as int check (value > 0);
    create domain short as varchar(5);
    create type spot as (x int, y text);
    ${Object.keys(TYPES).map((type) => `create table ${tableOf(type)} (id int primary key, v ${type});`).join('\n')}
    create table images (id int primary key, a int, b text);
    create table whole (id int primary key, a int, b text);
    alter table whole replica identity full;
    create table bad (id int primary key, t text, u uuid, j json, x xml, p point, m mood, d positive, hidden text);
    grant select on all tables in schema public to anon;
    revoke select on bad from anon;
    grant select (id, t, u, j, x, p, m, d) on bad to anon;
    alter publication supabase_realtime add table images, whole, bad, ${Object.keys(TYPES).map(tableOf).join(', ')};
  `);
});
after(() => instance?.destroy());
afterEach(abandon);

// Pairs of a filter and the same as SQL, about a column v of this type.
function conditions(type, { with: values, patterns = [], is = [] }) {
  const base = UNSIZED[type] ?? type;
  const pairs = [];
  const add = (filter, sql) => pairs.push([`v=${filter}`, sql], [`v=not.${filter}`, `not (${sql})`]);
  for (const [op, symbol] of Object.entries(COMPARISONS)) {
    for (const value of values) {
      add(`${op}.${quoted(value)}`, `v ${symbol} ${literal(value)}::${base}`);
    }
  }
  const element = (value) => `"${value.replaceAll(/["\\]/g, '\\$&')}"`;
  const list = (some) => some.map((value) => `${literal(value)}::${base}`).join(', ');
  add(`in.(${values.map(element).join(',')})`, `v in (${list(values)})`);
  add(`in.(${element(values[0])},NULL)`, `v in (${list(values.slice(0, 1))}, null)`);
  add('in.()', 'false');
  for (const [op, symbol] of Object.entries(PATTERNS)) {
    for (const pattern of patterns) {
      add(`${op}.${quoted(pattern)}`, `v ${symbol} ${literal(pattern)}`);
    }
  }
  for (const value of ['null', ...is]) {
    add(`is.${value}`, `v is ${value}`);
  }
  return pairs;
}

describe('a filter finds what PostgreSQL finds', () => {
  for (const [type, options] of Object.entries(TYPES)) {
    test(type, async () => {
      const table = tableOf(type);
      const pairs = conditions(type, options);
      const { client, heard, systems } = await listen(instance, [{ table }, ...pairs.map(([filter]) => ({ table, filter }))]);
      const rows = [...options.values.map(literal), 'null'].map((value, i) => `(${i}, ${value})`);
      await instance.rows(`insert into ${table} values ${rows.join(', ')}, (${LAST}, null)`);
      await until(() => `the last row of ${table}; told ${JSON.stringify(systems)}`, () => heard[0].some((change) => change.new.id === LAST));
      const [all, ...filtered] = heard.map((changes) => changes.map((change) => change.new.id));
      assert.equal(all.length, rows.length + 1);
      const expected = await instance.rows(pairs.map(([, sql]) => `select coalesce(json_agg(id order by id), '[]') from ${table} where ${sql};`).join('\n'));
      const wrong = pairs.flatMap(([filter, sql], i) =>
        JSON.stringify(filtered[i]) === JSON.stringify(JSON.parse(expected[i])) ? [] : [{ filter, sql, got: filtered[i], expected: expected[i] }]);
      assert.deepEqual(wrong, []);
      await leave(client);
    });
  }
});

describe('which row is asked', () => {
  const seen = (changes) => changes.map(({ eventType, new: row, old }) => [eventType, row.id ?? old.id]);

  test('INSERT and UPDATE: the new one; DELETE: what is known of the old one', async () => {
    for (const table of ['images', 'whole']) {
      const { client, heard } = await listen(instance, [
        { table }, { table, filter: 'a=gte.5' }, { table, filter: 'id=eq.1' }, { table, filter: 'a=is.null' },
        { table, filter: 'a=gte.5,b=eq.x' }, { table, filter: 'a=gte.5', event: 'DELETE' },
      ]);
      await instance.rows(`
        insert into ${table} values (1, 1, 'x'), (2, 9, 'x'), (3, null, 'y');
        update ${table} set a = 6 where id = 1;
        update ${table} set a = 2 where id = 2;
        update ${table} set b = 'z' where id = 1;
        delete from ${table} where id <= 3;
        insert into ${table} values (${LAST}, null, null)`);
      await until('the last row', () => heard[0].some((change) => change.new.id === LAST));
      const full = table === 'whole';
      assert.deepEqual(seen(heard[1]), [['INSERT', 2], ['UPDATE', 1], ['UPDATE', 1], ...(full ? [['DELETE', 1]] : [])], table);
      assert.deepEqual(seen(heard[2]), [['INSERT', 1], ['UPDATE', 1], ['UPDATE', 1], ['DELETE', 1]], table);
      assert.deepEqual(seen(heard[3]), [['INSERT', 3], ...(full ? [['DELETE', 3]] : []), ['INSERT', LAST]], table);
      assert.deepEqual(seen(heard[4]), [['INSERT', 2], ['UPDATE', 1]], table);
      assert.deepEqual(seen(heard[5]), full ? [['DELETE', 1]] : [], table);
      await leave(client);
    }
  });
});

describe('a filter that can never be right is refused when it comes', () => {
  const refusals = {
    'nope=eq.1': 'ERROR P0001 (raise_exception) invalid column for filter nope',
    'hidden=eq.1': 'ERROR P0001 (raise_exception) invalid column for filter hidden',
    'ctid=eq.1': 'ERROR P0001 (raise_exception) invalid column for filter ctid',
    'ID=eq.1': 'ERROR P0001 (raise_exception) invalid column for filter ID',
    'id=eq.hey': 'ERROR 22P02 (invalid_text_representation) invalid input syntax for type integer: "hey"',
    'id=in.(1,b)': 'ERROR 22P02 (invalid_text_representation) invalid input syntax for type integer: "b"',
    'u=gt.x': 'ERROR 22P02 (invalid_text_representation) invalid input syntax for type uuid: "x"',
    'm=eq.glad': 'ERROR 22P02 (invalid_text_representation) invalid input value for enum mood: "glad"',
    'd=eq.-1': 'ERROR 23514 (check_violation) value for domain positive violates check constraint "positive_check"',
    'id=is.maybe': 'ERROR P0001 (raise_exception) invalid value for is filter: must be null, true, false, or unknown',
    'id=is.true': 'ERROR P0001 (raise_exception) is true filter requires a boolean column, got integer',
    'id=like.1%': 'ERROR P0001 (raise_exception) operator like requires a text-compatible column type, got integer',
    'm=imatch.o': 'ERROR P0001 (raise_exception) operator imatch requires a text-compatible column type, got mood',
    't=match.(': 'ERROR P0001 (raise_exception) invalid regular expression for match filter: invalid regular expression: parentheses () not balanced',
    't=like.a\\': 'ERROR 22025 (invalid_escape_sequence) LIKE pattern must not end with escape character',
    'j=eq.1': 'ERROR P0001 (raise_exception) operator eq requires a column type that can be compared, got json',
    'x=neq.1': 'ERROR P0001 (raise_exception) operator neq requires a column type that can be compared, got xml',
    'p=in.("(1,2)")': 'ERROR P0001 (raise_exception) operator in requires a column type that can be compared, got point',
    [`id=in.(${[...Array(101).keys()]})`]: 'ERROR P0001 (raise_exception) too many values for `in` filter. Maximum 100',
  };

  for (const [filter, text] of Object.entries(refusals)) {
    test(filter.slice(0, 40), async () => {
      const message = await refusal(instance, { table: 'bad', filter });
      assert.equal(message.slice(message.indexOf('. Exception: ') + 13), text);
    });
  }

  test('select of a column that is not there or may not be read', async () => {
    for (const column of ['nope', 'hidden', 'ctid']) {
      const message = await refusal(instance, { table: 'bad', select: ['id', column] });
      assert.match(message, new RegExp(`Exception: ERROR P0001 \\(raise_exception\\) invalid column for select ${column}$`));
    }
  });
});
