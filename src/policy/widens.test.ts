import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../test/fuzz/random.ts';
import { decide, type Packet } from './decide.ts';
import { nameVerdict } from './name-verdict.ts';
import { readPolicy, type PolicyWords } from './policy.ts';
import { onlyWidens } from './widens.ts';

const NET = '198.51.100.0/24';
const PAIRS: [before: PolicyWords, after: PolicyWords, widens: boolean][] = [
  [{}, {}, true],
  [{ base: 'deny-all' }, {}, true],
  [{}, { base: 'deny-all' }, false],
  [{}, { deniedCidrs: [NET] }, false],
  [{ deniedCidrs: ['198.51.0.0/16'] }, { deniedCidrs: [NET] }, true],
  [{ deniedCidrs: [NET] }, { deniedCidrs: ['198.51.0.0/16'] }, false],
  [{ deniedCidrs: [NET] }, {}, true],
  [{ allowedCidrs: [NET] }, { allowedCidrs: ['198.51.0.0/16'] }, true],
  [{ allowedCidrs: [NET] }, { allowedCidrs: [NET], deniedCidrs: ['198.51.100.7'] }, false],
  [{ allowedCidrs: ['169.254.169.254'] }, {}, false],
  [{ allowedDomains: ['a.example'] }, { allowedDomains: ['a.example', '*.b.example'] }, true],
  [{ allowedDomains: ['a.example'] }, { allowedDomains: ['b.example'] }, false],
  [{ allowedDomains: ['a.b.example:22'] }, { allowedDomains: ['*.b.example:20-30'] }, true],
  [{ allowedDomains: ['a.b.example:22'] }, { allowedDomains: ['*.b.example'] }, false],
  [{ allowedDomains: ['b.example'] }, { allowedDomains: ['*.b.example'] }, false],
  [{ allowedDomains: ['*.a.b.example'] }, { allowedDomains: ['*.b.example'] }, true],
  [{ allowedDomains: ['dns.google.com'] }, { allowedDomains: ['*.google.com'] }, false],
  [{ allowedDomains: ['a.example'] }, { allowedDomains: ['a.example'], allowedCidrs: [NET] }, true],
  [{ allowedCidrs: [NET] }, { allowedDomains: ['a.example'] }, false],
];

for (const [before, after, widens] of PAIRS) {
  test(`${JSON.stringify(before)} to ${JSON.stringify(after)} ${widens ? 'only' : 'does not only'} widen`, () => {
    assert.equal(onlyWidens(readPolicy(before).policy, readPolicy(after).policy), widens);
  });
}

test('what a policy allows, one that only widens it allows too', () => {
  const random = new Random(20_261_125);
  const cidrs = [NET, '198.51.0.0/16', '203.0.113.7', '169.254.169.254', '8.8.8.8', 'private'];
  const domains = [
    'a.example',
    '*.example.org',
    'a.example.org:22',
    'dns.google',
    '*.dns.google:*',
  ];
  const some = (of: readonly string[]) => of.filter(() => random.below(3) === 0);
  const policy = () => {
    const base = random.of(['', '', 'allow-all', 'deny-all']);
    const lists = { allowedCidrs: some(cidrs), deniedCidrs: some(cidrs) };
    return readPolicy({ base, ...lists, allowedDomains: some(domains) }).policy;
  };
  const packets = [
    '198.51.100.7',
    '198.51.9.9',
    '203.0.113.7',
    '169.254.169.254',
    '8.8.8.8',
    '10.1.1.1',
  ].flatMap((destination): Packet[] => [
    ...[22, 53, 80, 443, 853].map((port) => ({ destination, protocol: 'tcp' as const, port })),
    ...[53, 443, 9].map((port) => ({ destination, protocol: 'udp' as const, port })),
    { destination, protocol: 'icmp' },
  ]);
  const names = ['a.example', 'a.example.org', 'dns.google', 'x.dns.google', 'y.z.example.org'];
  const world = { vmPools: [], hostAddresses: [], gateway: '172.16.1.1' };
  let widened = 0;
  for (let round = 0; round < 5000; round++) {
    const [before, after] = [policy(), policy()];
    if (!onlyWidens(before, after)) continue;
    widened++;
    const said = JSON.stringify({ before, after });
    for (const packet of packets) {
      const was = decide(before, packet, world).verdict !== 'deny';
      assert.ok(!was || decide(after, packet, world).verdict !== 'deny', said);
    }
    for (const target of names.flatMap((name) => [{ name }, { name, port: 443 }])) {
      const was = nameVerdict(before, target).allow;
      assert.ok(!was || nameVerdict(after, target).allow, said);
    }
  }
  assert.ok(widened > 50, `${widened}`);
});
