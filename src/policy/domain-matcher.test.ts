import assert from 'node:assert/strict';
import { test } from 'node:test';
import { domainMatcher } from './domain-matcher.ts';
import { normalName, parseDomain } from './domain.ts';
import { PolicyError } from './error.ts';

const matcher = domainMatcher([
  'example.com',
  '*.github.com',
  'github.com:22',
  'db.github.com:5432-5440',
  'all.example.com:*',
]);

const MATCHES: [target: string, rule: string | undefined][] = [
  ['example.com tcp 443', 'example.com'],
  ['example.com tcp 80', 'example.com'],
  ['example.com udp 443', undefined],
  ['example.com tcp 22', undefined],
  ['www.example.com tcp 443', undefined],
  ['notexample.com tcp 443', undefined],
  ['example.com.evil.test tcp 443', undefined],
  ['com tcp 443', undefined],
  ['api.github.com tcp 443', '*.github.com'],
  ['a.b.c.github.com tcp 80', '*.github.com'],
  ['github.com tcp 443', undefined],
  ['github.com tcp 22', 'github.com:22'],
  ['api.github.com tcp 22', undefined],
  ['db.github.com tcp 5436', 'db.github.com:5432-5440'],
  ['db.github.com tcp 443', '*.github.com'],
  ['evilgithub.com tcp 443', undefined],
  ['all.example.com udp 9', 'all.example.com:*'],
];

for (const [target, rule] of MATCHES) {
  test(`${target} is ${rule ?? 'named by no rule'}`, () => {
    const [name = '', protocol, port] = target.split(' ');
    assert.equal(matcher.match(name, protocol as 'tcp' | 'udp', Number(port))?.text, rule);
  });
}

test('an exact rule comes before wildcards, and ports do not matter to a look-up', () => {
  const names = matcher.names('db.github.com').map(({ text }) => text);
  assert.deepEqual(names, ['db.github.com:5432-5440', '*.github.com']);
  assert.deepEqual(matcher.names('github.org'), []);
});

test('the ports of all rules together', () => {
  const ssh = domainMatcher(['github.com:22']);
  assert.equal(ssh.covers('tcp', 22), true);
  assert.equal(ssh.covers('tcp', 443), false);
  assert.equal(ssh.covers('udp', 22), false);
});

test('what goes by address leaves out the proxy’s ports, the resolver’s, and evasions', () => {
  const leased = (name: string) =>
    matcher.leased(name).map(({ protocol, first, last }) => `${protocol} ${first}-${last}`);
  assert.deepEqual(leased('example.com'), []);
  assert.deepEqual(leased('db.github.com'), ['tcp 5432-5440']);
  assert.deepEqual(leased('all.example.com'), [
    'tcp 1-52',
    'tcp 54-79',
    'tcp 81-442',
    'tcp 444-852',
    'tcp 854-65535',
    'udp 1-52',
    'udp 54-442',
    'udp 444-852',
    'udp 854-65535',
  ]);
});

test('what goes by address is that of all rules that name it, merged; under one rule names share one list', () => {
  const { leased } = domainMatcher(['*.a.example:5000-5010', 'db.a.example:5005-5020']);
  assert.equal(leased('one.a.example'), leased('two.a.example'));
  assert.deepEqual(leased('db.a.example'), [{ protocol: 'tcp', first: 5000, last: 5020 }]);
});

/** Pieces out of which hostile patterns and names are put together. */
const PIECES = [
  ...['a', 'B', 'com', 'example', 'xn--', '-', '_', '.', '..', '*', '*.', ':', '22', '-9', '/udp'],
  ...['\0', '\n', ' ', '%2e', '@', '[', ']', '::', '。', 'é', '＊', '\u202e', '٠', '127.1', 'K'],
];

test('whatever is written, a pattern is refused with a reason or means what it shows', () => {
  const random = generator(20_261_124);
  const pick = () =>
    Array.from({ length: 1 + (random() % 7) }, () => PIECES[random() % PIECES.length]).join('');
  for (let round = 0; round < 20_000; round += 1) {
    const text = pick();
    let rule;
    try {
      rule = parseDomain(text);
    } catch (error) {
      assert.ok(error instanceof PolicyError, `${JSON.stringify(text)}: ${String(error)}`);
      continue;
    }
    assert.equal(normalName(rule.name), rule.name, JSON.stringify(text));
    assert.deepEqual(parseDomain(rule.text), rule, JSON.stringify(text));
    // The naive meaning, beside the matcher's.
    const name = normalName(pick());
    if (name === null) continue;
    const means = rule.wildcard ? name.endsWith(`.${rule.name}`) : name === rule.name;
    assert.equal(domainMatcher([rule.text]).names(name).length === 1, means, `${text} ${name}`);
  }
});

/** xorshift32: the same numbers in each run. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
