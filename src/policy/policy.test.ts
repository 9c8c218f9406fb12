import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PolicyError } from './error.ts';
import { policyFlags, readPolicy, type PolicyWords, type Surroundings } from './policy.ts';

const A = ['198.51.100.0/24'];
const D = ['203.0.113.0/24'];
const WORLD: Surroundings = {
  vmPools: ['172.16.0.0/16', '10.200.0.0/16'],
  hostAddresses: ['127.0.0.1', '192.0.2.10'],
};

/** The whole table: base x allowed x denied → base, default, and the notices that matter. */
const TABLE: [
  base: string,
  allowed: boolean,
  denied: boolean,
  result: string,
  notices: RegExp[],
][] = [
  ['', false, false, 'allow-all allow', []],
  ['', true, false, 'custom deny', [/custom: only what is allowed/, /no name resolves/]],
  ['', false, true, 'custom allow', [/custom: all but what is denied/]],
  ['', true, true, 'custom deny', [/custom: only what is allowed/, /no name resolves/]],
  ['allow-all', false, false, 'allow-all allow', []],
  ['allow-all', true, false, 'custom deny', [/^warning: .*only the list/, /no name resolves/]],
  ['allow-all', false, true, 'custom allow', [/custom: all but what is denied/]],
  ['allow-all', true, true, 'custom deny', [/^warning: .*only the list/, /no name resolves/]],
  ['deny-all', false, false, 'deny-all deny', []],
  ['deny-all', true, false, 'custom deny', [/custom: only what is allowed/, /no name resolves/]],
  ['deny-all', false, true, 'custom deny', [/custom: nothing is/, /no name resolves/]],
  ['deny-all', true, true, 'custom deny', [/custom: only what is allowed/, /no name resolves/]],
  ['custom', true, false, 'custom deny', [/no name resolves/]],
  ['custom', false, true, 'custom allow', []],
  ['custom', true, true, 'custom deny', [/no name resolves/]],
];

for (const [base, allowed, denied, result, notices] of TABLE) {
  const lists = `${allowed ? ' allowed' : ''}${denied ? ' denied' : ''}`;
  test(`${base || 'no base'} with${lists || ' no list'} is ${result}`, () => {
    const words = {
      base,
      allowedCidrs: allowed ? A : [],
      deniedCidrs: denied ? D : [],
    };
    const read = readPolicy(words, WORLD);
    assert.equal(`${read.policy.base} ${read.policy.default}`, result);
    assert.deepEqual(read.policy.allowed, words.allowedCidrs);
    assert.deepEqual(read.policy.denied, words.deniedCidrs);
    assert.equal(read.notices.length, notices.length, read.notices.join('\n'));
    notices.forEach((notice, index) => assert.match(read.notices[index] ?? '', notice));
    assert.deepEqual(readPolicy(wordsOf(policyFlags(read.policy)), WORLD).policy, read.policy);
  });
}

test('custom without a list is an error that says what to add', () => {
  assert.throws(
    () => readPolicy({ base: 'custom' }),
    (error) =>
      error instanceof PolicyError && /--allowed-cidr or --denied-cidr/.test(error.hint ?? ''),
  );
});

test('anything else is refused in a line that names it and the valid ones', () => {
  for (const base of ['allow', 'Deny-All', 'deny-all ', 'none', 'allow-all,deny-all']) {
    assert.throws(
      () => readPolicy({ base }),
      (error) =>
        error instanceof PolicyError &&
        error.message === `"${base}" is not a network policy` &&
        error.hint === 'use allow-all, deny-all or custom',
    );
  }
});

test('a deny that swallows an allow is a warning', () => {
  const words = { allowedCidrs: ['10.1.0.0/16', '198.51.100.0/24'], deniedCidrs: ['private'] };
  const warnings = readPolicy(words, WORLD).notices.filter((text) => text.startsWith('warning'));
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? '', /10\.1\.0\.0\/16 lies inside the denied 10\.0\.0\.0\/8/);
});

const OPENED: [entry: string, opens: boolean][] = [
  ['169.254.169.254', true],
  ['169.254.0.0/16', true],
  ['168.63.129.16', true],
  ['192.0.2.10', true],
  ['192.0.2.0/24', false],
  ['169.0.0.0/8', false],
  ['0.0.0.0/0', false],
  ['192.0.2.11', false],
];
for (const [entry, opens] of OPENED) {
  test(`allowing ${entry} ${opens ? 'opens it, and says so' : 'opens nothing that is closed'}`, () => {
    // A wider entry beside it must not swallow it.
    const { policy, notices } = readPolicy({ allowedCidrs: [entry, '0.0.0.0/0'] }, WORLD);
    assert.equal(policy.opened.length, opens ? 1 : 0);
    assert.equal(
      notices.filter((text) => text.includes('is opened to the VM')).length,
      opens ? 1 : 0,
    );
  });
}

test('what can never be opened cannot be allowed', () => {
  for (const entry of [
    '172.16.5.2',
    '172.16.0.0/16',
    '10.200.0.1',
    '127.0.0.1',
    '240.0.0.1',
    '224.0.0.1',
  ]) {
    assert.throws(() => readPolicy({ allowedCidrs: [entry] }, WORLD), PolicyError, entry);
  }
});

function wordsOf(flags: string): PolicyWords {
  const valueOf = (flag: string) => new RegExp(`${flag} (\\S+)`).exec(flags)?.[1];
  const list = (flag: string) => [valueOf(flag) ?? []].flat();
  return {
    base: valueOf('--network-policy') ?? '',
    allowedCidrs: list('--allowed-cidr'),
    deniedCidrs: list('--denied-cidr'),
  };
}
