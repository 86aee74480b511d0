// JSON Web Tokens, signed with the secret of the server under test.

import { createHmac } from 'node:crypto';

const HASHES = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' };

function encode(value) {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
}

// A token with these claims; a header whose algorithm is no HMAC gets an empty signature.
export function sign(claims, secret, header = { alg: 'HS256', typ: 'JWT' }) {
  const text = `${encode(header)}.${encode(claims)}`;
  const hash = HASHES[header.alg];
  const signature = hash ? createHmac(hash, secret).update(text).digest('base64url') : '';
  return `${text}.${signature}`;
}

const NEVER = 4102444800; // 2100-01-01

export function token(role, secret, claims = {}) {
  return sign({ role, exp: NEVER, ...claims }, secret);
}

// Tokens that run out while a scenario is played: seconds from its start.
const LIVES = { short9: 9, short12: 12, short12f: 12.5 };

// The tokens that the transcripts name, from the claims in tokens.json. Those that tokens.json
// describes in words only are made here.
export function transcriptTokens(described, secret) {
  const tokens = {};
  for (const [name, { claims, header }] of Object.entries(described)) {
    if (claims === undefined) {
      continue;
    }
    const key = name === 'badsig' ? `${secret}, but another one` : secret;
    const lives = name in LIVES && { ...claims, exp: Math.floor(Date.now() / 1000) + LIVES[name] };
    tokens[name] = sign(lives || claims, key, header);
  }
  tokens.notjson = ['no json', 'no json either', 'nor this'].map(encode).join('.');
  tokens.anon_blank = `${tokens.anon.slice(0, 20)}%20${tokens.anon.slice(20)}`;
  tokens.anon_twice = tokens.anon.replaceAll('.', '%252E');
  return tokens;
}
