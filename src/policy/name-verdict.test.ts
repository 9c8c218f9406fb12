import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dialVerdict, nameVerdict } from './name-verdict.ts';
import { readPolicy, type PolicyWords } from './policy.ts';

const WORLD = {
  vmPools: ['172.16.0.0/16', '10.200.0.0/16'],
  hostAddresses: ['127.0.0.1', '192.0.2.10'],
};

const ONLY: PolicyWords = { allowedDomains: ['allowed.example.com,*.github.com:22,*.google.com'] };
const LAN: PolicyWords = { allowedDomains: ['nas.example.com'], allowedCidrs: ['10.20.0.0/16'] };
const DENIED: PolicyWords = {
  allowedDomains: ['allowed.example.com'],
  deniedCidrs: ['198.51.100.0/24'],
};

/** A name, perhaps with a port → the rule that allows it, or why not. */
const NAMES: [words: PolicyWords, name: string, verdict: string | RegExp][] = [
  [{}, 'any.example.com', 'default'],
  [{ base: 'deny-all' }, 'any.example.com', /^deny-all allows no names$/],
  [{ allowedCidrs: ['198.51.100.0/24'] }, 'any.example.com', /^custom allows no names$/],
  [{ deniedCidrs: ['198.51.100.0/24'] }, 'dns.google', 'default'],
  [ONLY, 'allowed.example.com', 'allowed.example.com'],
  [ONLY, 'allowed.example.com:443', 'allowed.example.com'],
  [ONLY, 'denied.example.com', /^no rule allows denied\.example\.com$/],
  [ONLY, 'denied.example.com:443', /^no rule allows denied\.example\.com$/],
  [ONLY, 'api.github.com', '*.github.com:22'],
  [ONLY, 'api.github.com:443', /^no rule allows api\.github\.com at TCP port 443$/],
  [ONLY, 'mail.google.com', '*.google.com'],
  [ONLY, 'dns.google.com', /dns\.google\.com is a public resolver/],
  [{ allowedDomains: ['dns.google.com,*.google.com'] }, 'dns.google.com:443', 'dns.google.com'],
  [{ allowedDomains: ['*.nextdns.io'] }, 'abc.dns.nextdns.io', /is a public resolver/],
];

for (const [words, text, verdict] of NAMES) {
  test(`${JSON.stringify(words)}: ${text}: ${String(verdict)}`, () => {
    const [name = '', port] = text.split(':');
    const target = { name, ...(port === undefined ? {} : { port: Number(port) }) };
    const given = nameVerdict(readPolicy(words, WORLD).policy, target);
    if (typeof verdict === 'string') assert.deepEqual(given, { allow: true, rule: verdict });
    else assert.match(given.allow ? 'allowed' : given.reason, verdict);
  });
}

const ADDRESSES: [words: PolicyWords, address: string, verdict: string, rule: string][] = [
  [ONLY, '203.0.113.20', 'allow', 'name'],
  [ONLY, '10.20.0.10', 'deny', 'private'],
  [ONLY, '100.64.0.10', 'deny', 'private'],
  [ONLY, '192.168.1.1', 'deny', 'private'],
  [ONLY, '127.0.0.1', 'deny', 'never'],
  [ONLY, '0.0.0.0', 'deny', 'never'],
  [ONLY, '169.254.169.254', 'deny', 'never'],
  [ONLY, '172.16.2.2', 'deny', 'never'],
  [ONLY, '192.0.2.10', 'deny', 'never'],
  [ONLY, '255.255.255.255', 'deny', 'never'],
  [LAN, '10.20.0.10', 'allow', 'allowed'],
  [LAN, '10.21.0.10', 'deny', 'private'],
  [DENIED, '198.51.100.10', 'deny', 'denied'],
  [DENIED, '203.0.113.20', 'allow', 'name'],
];

for (const [words, address, verdict, rule] of ADDRESSES) {
  test(`${JSON.stringify(words)}: a name at ${address} is ${verdict} by ${rule}`, () => {
    const given = dialVerdict(readPolicy(words, WORLD).policy, address, WORLD);
    assert.deepEqual([given.verdict, given.rule], [verdict, rule]);
    assert.match(given.reason, /./);
  });
}
