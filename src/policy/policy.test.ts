import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PolicyError } from './error.ts';
import { policyFlags, readPolicy, type PolicyWords, type Surroundings } from './policy.ts';

const A = ['198.51.100.0/24'];
const D = ['203.0.113.0/24'];
const N = ['*.github.com', 'npmjs.org:443'];
const WORLD: Surroundings = {
  vmPools: ['172.16.0.0/16', '10.200.0.0/16'],
  hostAddresses: ['127.0.0.1', '192.0.2.10'],
};

/**
 * The whole table: base x names x allowed x denied → base, default, and the
 * notices that matter. With names there is one less: some names resolve.
 */
const TABLE: [base: string, lists: string, result: string, notices: RegExp[]][] = [
  ['', '', 'allow-all allow', []],
  ['', 'A', 'custom deny', [/custom: only what is allowed/, /no name resolves/]],
  ['', 'D', 'custom allow', [/custom: all but what is denied/]],
  ['', 'AD', 'custom deny', [/custom: only what is allowed/, /no name resolves/]],
  ['', 'N', 'custom deny', [/custom: only what is allowed/]],
  ['', 'NA', 'custom deny', [/custom: only what is allowed/]],
  ['', 'ND', 'custom deny', [/custom: only what is allowed/]],
  ['', 'NAD', 'custom deny', [/custom: only what is allowed/]],
  ['allow-all', '', 'allow-all allow', []],
  ['allow-all', 'A', 'custom deny', [/^warning: .*only the list/, /no name resolves/]],
  ['allow-all', 'D', 'custom allow', [/custom: all but what is denied/]],
  ['allow-all', 'AD', 'custom deny', [/^warning: .*only the list/, /no name resolves/]],
  ['allow-all', 'N', 'custom deny', [/^warning: .*only the list/]],
  ['allow-all', 'NA', 'custom deny', [/^warning: .*only the list/]],
  ['allow-all', 'ND', 'custom deny', [/^warning: .*only the list/]],
  ['allow-all', 'NAD', 'custom deny', [/^warning: .*only the list/]],
  ['deny-all', '', 'deny-all deny', []],
  ['deny-all', 'A', 'custom deny', [/custom: only what is allowed/, /no name resolves/]],
  ['deny-all', 'D', 'custom deny', [/custom: nothing is/, /no name resolves/]],
  ['deny-all', 'AD', 'custom deny', [/custom: only what is allowed/, /no name resolves/]],
  ['deny-all', 'N', 'custom deny', [/custom: only what is allowed/]],
  ['deny-all', 'NA', 'custom deny', [/custom: only what is allowed/]],
  ['deny-all', 'ND', 'custom deny', [/custom: only what is allowed/]],
  ['deny-all', 'NAD', 'custom deny', [/custom: only what is allowed/]],
  ['custom', 'A', 'custom deny', [/no name resolves/]],
  ['custom', 'D', 'custom allow', []],
  ['custom', 'AD', 'custom deny', [/no name resolves/]],
  ['custom', 'N', 'custom deny', []],
  ['custom', 'NA', 'custom deny', []],
  ['custom', 'ND', 'custom deny', []],
  ['custom', 'NAD', 'custom deny', []],
];

for (const [base, lists, result, notices] of TABLE) {
  test(`${base || 'no base'} with ${lists || 'no list'} is ${result}`, () => {
    const words = {
      base,
      allowedDomains: lists.includes('N') ? N : [],
      allowedCidrs: lists.includes('A') ? A : [],
      deniedCidrs: lists.includes('D') ? D : [],
    };
    const read = readPolicy(words, WORLD);
    assert.equal(`${read.policy.base} ${read.policy.default}`, result);
    assert.deepEqual(read.policy.allowed, words.allowedCidrs);
    assert.deepEqual(read.policy.denied, words.deniedCidrs);
    assert.deepEqual(read.policy.domains, words.allowedDomains);
    assert.equal(read.notices.length, notices.length, read.notices.join('\n'));
    notices.forEach((notice, index) => assert.match(read.notices[index] ?? '', notice));
    assert.deepEqual(readPolicy(wordsOf(policyFlags(read.policy)), WORLD).policy, read.policy);
  });
}

test('custom without a list is an error that says what to add', () => {
  assert.throws(
    () => readPolicy({ base: 'custom' }),
    (error) =>
      error instanceof PolicyError &&
      /--allowed-domain, --allowed-cidr or --denied-cidr/.test(error.hint ?? ''),
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

test('names that a denied network swallows are a warning', () => {
  const { notices } = readPolicy({ allowedDomains: N, deniedCidrs: ['0.0.0.0/0'] }, WORLD);
  assert.match(notices.at(-1) ?? '', /^warning: every address is denied/);
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
  const valueOf = (flag: string) => new RegExp(`${flag} "?([^\\s"]+)`).exec(flags)?.[1];
  const list = (flag: string) => [valueOf(flag) ?? []].flat();
  return {
    base: valueOf('--network-policy') ?? '',
    allowedDomains: list('--allowed-domain'),
    allowedCidrs: list('--allowed-cidr'),
    deniedCidrs: list('--denied-cidr'),
  };
}
