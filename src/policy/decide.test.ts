import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decide, type Packet } from './decide.ts';
import { readPolicy, type PolicyWords } from './policy.ts';

const WORLD = {
  vmPools: ['172.16.0.0/16', '10.200.0.0/16'],
  hostAddresses: ['127.0.0.1', '192.0.2.10'],
  gateway: '172.16.1.1',
  learned: (address: string, protocol: string, port: number) =>
    `${address} ${protocol} ${port}` === '203.0.113.20 tcp 5432' ? 'db.example.com' : undefined,
};

const ALLOWED: PolicyWords = { allowedCidrs: ['198.51.100.0/24', '10.0.0.0/8', '169.254.169.254'] };
const DENIED: PolicyWords = { deniedCidrs: ['private', '203.0.113.0/24'] };
const BOTH: PolicyWords = { allowedCidrs: ['10.0.0.0/8'], deniedCidrs: ['10.20.0.0/16'] };
const HOST: PolicyWords = { allowedCidrs: ['192.0.2.10', '0.0.0.0/0'] };
const NAMES: PolicyWords = {
  allowedDomains: ['example.com', 'db.example.com:5432'],
  allowedCidrs: ['198.51.100.0/24'],
  deniedCidrs: ['203.0.113.128/25'],
};
const HTTPS: PolicyWords = { allowedDomains: ['example.com:443'] };
const RESOLVER: PolicyWords = { allowedDomains: ['dns.google'] };

const CASES: [words: PolicyWords, packet: string, verdict: string, rule: string][] = [
  [{}, '203.0.113.20 tcp 80', 'allow', 'default'],
  [{}, '203.0.113.53 udp 53', 'allow', 'default'],
  [{}, '172.16.1.1 udp 53', 'resolver', 'resolver'],
  [{}, '172.16.1.1 tcp 80', 'deny', 'never'],
  [{}, '172.16.2.2 tcp 80', 'deny', 'never'],
  [{}, '192.0.2.10 tcp 22', 'deny', 'never'],
  [{}, '169.254.169.254 tcp 80', 'deny', 'never'],
  [{}, '10.20.0.10 icmp', 'allow', 'default'],
  [{ base: 'deny-all' }, '203.0.113.20 tcp 80', 'deny', 'default'],
  [{ base: 'deny-all' }, '203.0.113.53 tcp 53', 'resolver', 'resolver'],
  [ALLOWED, '198.51.100.10 tcp 443', 'allow', 'allowed'],
  [ALLOWED, '198.51.100.10 udp 53', 'resolver', 'resolver'],
  [ALLOWED, '198.51.100.10 icmp', 'allow', 'allowed'],
  [ALLOWED, '198.51.100.10 other', 'allow', 'allowed'],
  [ALLOWED, '203.0.113.20 tcp 443', 'deny', 'default'],
  [ALLOWED, '169.254.169.254 tcp 80', 'allow', 'allowed'],
  [ALLOWED, '169.254.169.253 tcp 80', 'deny', 'never'],
  [ALLOWED, '10.200.0.1 tcp 80', 'deny', 'never'],
  [DENIED, '10.20.0.10 tcp 80', 'deny', 'denied'],
  [DENIED, '100.64.0.10 tcp 80', 'deny', 'denied'],
  [DENIED, '203.0.113.20 udp 7', 'deny', 'denied'],
  [DENIED, '198.51.100.10 tcp 80', 'allow', 'default'],
  [BOTH, '10.20.0.10 tcp 80', 'deny', 'denied'],
  [BOTH, '10.21.0.10 tcp 80', 'allow', 'allowed'],
  [BOTH, '198.51.100.10 tcp 80', 'deny', 'default'],
  [HOST, '192.0.2.10 tcp 8000', 'allow', 'allowed'],
  [HOST, '127.0.0.1 tcp 8000', 'deny', 'never'],
  [HOST, '203.0.113.20 tcp 80', 'allow', 'allowed'],
  [HOST, '240.0.0.10 tcp 80', 'deny', 'never'],
  [NAMES, '203.0.113.20 tcp 80', 'proxy', 'proxy'],
  [NAMES, '203.0.113.20 tcp 443', 'proxy', 'proxy'],
  [NAMES, '10.20.0.10 tcp 443', 'proxy', 'proxy'],
  [NAMES, '203.0.113.20 udp 53', 'resolver', 'resolver'],
  [NAMES, '203.0.113.20 tcp 5432', 'allow', 'learned'],
  [NAMES, '203.0.113.20 udp 5432', 'deny', 'default'],
  [NAMES, '203.0.113.21 tcp 5432', 'deny', 'default'],
  [NAMES, '203.0.113.20 tcp 22', 'deny', 'default'],
  [NAMES, '203.0.113.20 icmp', 'deny', 'default'],
  [NAMES, '203.0.113.20 other', 'deny', 'default'],
  [NAMES, '203.0.113.20 udp 443', 'deny', 'evasion'],
  [NAMES, '203.0.113.20 tcp 853', 'deny', 'evasion'],
  [NAMES, '203.0.113.20 udp 853', 'deny', 'evasion'],
  [NAMES, '8.8.8.8 tcp 443', 'deny', 'evasion'],
  [NAMES, '8.8.8.8 tcp 80', 'proxy', 'proxy'],
  [NAMES, '203.0.113.200 tcp 443', 'deny', 'denied'],
  [NAMES, '198.51.100.10 tcp 443', 'allow', 'allowed'],
  [NAMES, '198.51.100.10 udp 443', 'allow', 'allowed'],
  [NAMES, '198.51.100.10 icmp', 'allow', 'allowed'],
  [NAMES, '169.254.169.254 tcp 80', 'deny', 'never'],
  [NAMES, '172.16.2.2 tcp 80', 'deny', 'never'],
  [NAMES, '192.0.2.10 tcp 443', 'proxy', 'proxy'],
  [NAMES, '192.0.2.10 tcp 5432', 'deny', 'never'],
  [NAMES, '127.0.0.1 tcp 443', 'deny', 'never'],
  [{ ...NAMES, allowedCidrs: ['192.0.2.0/24'] }, '192.0.2.10 tcp 443', 'deny', 'never'],
  [{ ...NAMES, allowedCidrs: ['192.0.2.10'] }, '192.0.2.10 tcp 443', 'allow', 'allowed'],
  [HTTPS, '203.0.113.20 tcp 443', 'proxy', 'proxy'],
  [HTTPS, '203.0.113.20 tcp 80', 'deny', 'default'],
  [RESOLVER, '8.8.8.8 tcp 443', 'proxy', 'proxy'],
];

for (const [words, text, verdict, rule] of CASES) {
  test(`${JSON.stringify(words)}: ${text} is ${verdict} by ${rule}`, () => {
    const [destination = '', protocol, port] = text.split(' ');
    const packet = {
      destination,
      protocol: protocol as Packet['protocol'],
      ...(port === undefined ? {} : { port: Number(port) }),
    };
    const decision = decide(readPolicy(words, WORLD).policy, packet, WORLD);
    assert.deepEqual([decision.verdict, decision.rule], [verdict, rule]);
    assert.match(decision.reason, /./);
  });
}
