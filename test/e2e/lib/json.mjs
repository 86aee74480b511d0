// A JSON parser that loses nothing: numbers keep their text, equal keys stay both, and each value
// knows the slice of text that it came from.
//
// Nodes: { kind: 'object', members: [[key, node]…] }, { kind: 'array', items }, { kind: 'string',
// value }, { kind: 'number', text }, { kind: 'literal', value }; all with `raw`.

const NUMBER = /-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const BLANK = /[ \t\n\r]*/y;

export function parseLossless(text) {
  const parser = new Parser(text);
  parser.blank();
  const node = parser.value();
  parser.blank();
  if (parser.at !== text.length) {
    throw new SyntaxError(`more after the end of the JSON at ${parser.at}`);
  }
  return node;
}

class Parser {
  at = 0;

  constructor(text) {
    this.text = text;
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (!found) {
      throw new SyntaxError(`no JSON at ${this.at}: ${this.text.slice(this.at, this.at + 20)}`);
    }
    this.at = pattern.lastIndex;
    return found[0];
  }

  blank() {
    this.match(BLANK);
  }

  eat(character) {
    if (this.text[this.at] !== character) {
      throw new SyntaxError(`"${character}" expected at ${this.at}`);
    }
    this.at++;
  }

  value() {
    const start = this.at;
    const node = this.bare();
    node.raw = this.text.slice(start, this.at);
    return node;
  }

  bare() {
    const first = this.text[this.at];
    if (first === '{') {
      return this.object();
    }
    if (first === '[') {
      return this.array();
    }
    if (first === '"') {
      return { kind: 'string', value: JSON.parse(this.string()) };
    }
    for (const [word, value] of [['true', true], ['false', false], ['null', null]]) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return { kind: 'literal', value };
      }
    }
    return { kind: 'number', text: this.match(NUMBER) };
  }

  // Long strings don't go through the regular expression, whose engine has a limited stack.
  string() {
    const start = this.at;
    let end = start + 1;
    for (;;) {
      end = this.text.indexOf('"', end);
      if (end < 0) {
        throw new SyntaxError(`a string without an end at ${start}`);
      }
      let back = end;
      while (this.text[back - 1] === '\\') {
        back--;
      }
      end++;
      if ((end - 1 - back) % 2 === 0) {
        break;
      }
    }
    if (end - start < 10_000) {
      return this.match(STRING);
    }
    this.at = end;
    return this.text.slice(start, end);
  }

  object() {
    const members = [];
    this.eat('{');
    this.blank();
    if (this.text[this.at] === '}') {
      this.at++;
      return { kind: 'object', members };
    }
    for (;;) {
      const key = JSON.parse(this.string());
      this.blank();
      this.eat(':');
      this.blank();
      members.push([key, this.value()]);
      this.blank();
      if (this.text[this.at] === '}') {
        this.at++;
        return { kind: 'object', members };
      }
      this.eat(',');
      this.blank();
    }
  }

  array() {
    const items = [];
    this.eat('[');
    this.blank();
    if (this.text[this.at] === ']') {
      this.at++;
      return { kind: 'array', items };
    }
    for (;;) {
      items.push(this.value());
      this.blank();
      if (this.text[this.at] === ']') {
        this.at++;
        return { kind: 'array', items };
      }
      this.eat(',');
      this.blank();
    }
  }
}

// The node under a path of keys and indexes, or undefined.
export function nodeAt(node, path) {
  for (const key of path) {
    if (node?.kind === 'object') {
      node = node.members.find(([name]) => name === key)?.[1];
    } else if (node?.kind === 'array') {
      node = node.items[key];
    } else {
      return undefined;
    }
  }
  return node;
}
