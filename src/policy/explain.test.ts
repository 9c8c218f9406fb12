import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PolicyError } from './error.ts';
import { explain, parseTarget } from './explain.ts';
import { readPolicy, type PolicyWords } from './policy.ts';

const WORLD = { vmPools: ['172.16.0.0/16'], hostAddresses: ['192.0.2.10'], gateway: '172.16.1.1' };
const ONLY: PolicyWords = {
  allowedDomains: ['example.com', '*.github.com:22'],
  allowedCidrs: ['10.0.0.0/8'],
};

const CASES: [words: PolicyWords, target: string, judgements: string[]][] = [
  [ONLY, 'https://Example.com/a?b', ['lookup allow example.com', 'tcp 443 allow example.com']],
  [ONLY, 'http://example.com:8080', ['lookup allow example.com', 'tcp 8080 deny ']],
  [
    ONLY,
    'example.com',
    ['lookup allow example.com', 'tcp 443 allow example.com', 'tcp 80 allow example.com'],
  ],
  [ONLY, 'api.github.com:22', ['lookup allow *.github.com:22', 'tcp 22 allow *.github.com:22']],
  [ONLY, 'api.github.com:443', ['lookup allow *.github.com:22', 'tcp 443 deny ']],
  [ONLY, 'example.com:443/udp', ['lookup allow example.com', 'udp 443 deny ']],
  [ONLY, 'example.org:22', ['lookup deny ', 'tcp 22 deny ']],
  [ONLY, '10.1.2.3:5432', ['tcp 5432 allow allowed']],
  [ONLY, '203.0.113.20', ['tcp 443 proxy proxy', 'tcp 80 proxy proxy', 'icmp deny default']],
  [ONLY, '203.0.113.20:53/udp', ['udp 53 proxy resolver']],
  [ONLY, '192.0.2.10:22', ['tcp 22 deny never']],
  [{ base: 'deny-all' }, 'example.com:22', ['lookup deny ', 'tcp 22 deny ']],
  [{}, 'example.com:22', ['lookup allow default', 'tcp 22 allow default']],
];

for (const [words, target, judgements] of CASES) {
  test(`${JSON.stringify(words)}: ${target}`, () => {
    const { policy } = readPolicy(words, WORLD);
    const given = explain(policy, parseTarget(target), WORLD);
    assert.deepEqual(
      given.map(({ what, verdict, rule }) => `${what} ${verdict} ${rule}`),
      judgements,
    );
    for (const { reason } of given) assert.match(reason, /./);
  });
}

test('what is no target is refused', () => {
  for (const text of [
    '',
    'a b',
    'example.com:0',
    'example.com:99999',
    '::1',
    'x/udp',
    'ftp://x/y',
  ]) {
    assert.throws(() => parseTarget(text), PolicyError, text);
  }
});
