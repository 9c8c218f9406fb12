import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Seen } from '../net/observe.ts';
import { readPolicy } from '../policy/policy.ts';
import {
  countedSince,
  droppedUntil,
  explainer,
  NOTHING_READ,
  since,
  type LastRead,
} from './traffic-kernel.ts';

const WORLD = {
  vmPools: ['172.16.0.0/16', '10.200.0.0/16'],
  hostAddresses: ['192.0.2.1'],
  gateway: '172.16.1.1',
};
const { policy } = readPolicy({
  allowedDomains: ['db.example.com:5432'],
  allowedCidrs: ['203.0.113.0/24'],
});

function told(verdict: Seen['verdict'], destination: string, protocol: string, port?: number) {
  const seen: Seen = {
    verdict,
    destination,
    protocol,
    packets: 3,
    bytes: 180,
    atMs: 5,
    ...(port === undefined ? {} : { port }),
  };
  const { what, rule, reason, count, ...rest } = explainer(policy, WORLD)(seen, 2);
  assert.deepEqual(
    [rest.kind, rest.address, rest.port, count],
    ['address', destination, port ?? 0, 2],
  );
  return [what, rest.verdict, rule, reason];
}

test('what the kernel did is told with the reason of decide()', () => {
  assert.deepEqual(told('deny', '198.51.100.1', 'udp', 443), [
    '198.51.100.1:443/udp',
    'deny',
    'evasion',
    'QUIC would carry names past the policy',
  ]);
  assert.deepEqual(told('allow', '203.0.113.9', 'tcp', 22).slice(0, 3), [
    '203.0.113.9:22',
    'allow',
    'allowed',
  ]);
  assert.deepEqual(told('deny', '198.51.100.1', 'gre').slice(0, 3), [
    '198.51.100.1 gre',
    'deny',
    'default',
  ]);
});

test('where the host has the last word, it has; where a name held the address, that is told', () => {
  assert.deepEqual(told('allow', '192.0.2.1', 'tcp', 22).slice(1, 3), ['deny', 'never']);
  assert.deepEqual(told('allow', '198.51.100.1', 'tcp', 5432), [
    '198.51.100.1:5432',
    'allow',
    'learned',
    'an allowed name held 198.51.100.1 then',
  ]);
  // Refused before a name held it, and read after.
  const learned = () => 'db.example.com';
  const seen: Seen = {
    verdict: 'deny',
    destination: '198.51.100.1',
    protocol: 'tcp',
    port: 5432,
    packets: 1,
    bytes: 60,
    atMs: 5,
  };
  const { verdict, reason } = explainer(policy, { ...WORLD, learned })(seen, 1);
  assert.deepEqual([verdict, reason], ['deny', 'no allowed name held it then']);
});

test('what was dropped adds up by reason, whichever counter begins anew', () => {
  const at = (refused: number, vlan: number) =>
    new Map([
      ['refused', { packets: refused, bytes: 0 }],
      ['vlan_frame', { packets: vlan, bytes: 0 }],
    ]);
  let last: LastRead = NOTHING_READ;
  const totals = [at(3, 1), at(5, 1), at(2, 4)].map((counters) => {
    const read = Object.fromEntries([...counters].map(([name, { packets }]) => [name, packets]));
    last = { counters: read, seen: {}, dropped: droppedUntil(counters, last) };
    return last.dropped;
  });
  assert.deepEqual(totals, [
    { policy: 3, frames: 1, caps: 0 },
    { policy: 5, frames: 1, caps: 0 },
    { policy: 7, frames: 4, caps: 0 },
  ]);
});

test('counters are told by how much they grew, or whole when they are new', () => {
  const counters = new Map([
    ['vlan_frame', { packets: 5, bytes: 0 }],
    ['new_flows_over', { packets: 2, bytes: 0 }],
    ['out', { packets: 99, bytes: 0 }],
  ]);
  const last = { counters: { vlan_frame: 3, new_flows_over: 7 }, seen: {} };
  const found = countedSince(counters, last, 1000).map(({ kind, what, verdict, rule, count }) => [
    kind,
    what,
    verdict,
    rule,
    count,
  ]);
  assert.deepEqual(found, [
    ['frame', 'a VLAN tag', 'deny', 'frames', 2],
    ['flow', 'new flows', 'deny', 'cap', 2],
  ]);
  assert.deepEqual(countedSince(new Map(), NOTHING_READ, 1000), []);
  assert.equal(since(counters, last, 'out'), 99);
});
