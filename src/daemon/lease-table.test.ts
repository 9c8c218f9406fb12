import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LeaseTable } from './lease-table.ts';

const NOW = 1_800_000_000_000;
const said = (table: LeaseTable) => table.all().map(({ name, address }) => `${name} ${address}`);

test('an address is held for the TTL, 30 seconds at least and an hour at most', () => {
  const table = new LeaseTable();
  for (const [ttl, seconds] of [
    [0, 30],
    [60, 60],
    [86_400, 3600],
  ] as const) {
    const { taken } = table.take(`ttl${ttl}.example`, ['192.0.2.1'], ttl, NOW);
    assert.equal(taken[0]?.expiresAtMs, NOW + seconds * 1000);
  }
});

test('a shorter answer later takes no time away', () => {
  const table = new LeaseTable();
  table.take('a.example', ['192.0.2.1'], 300, NOW);
  const { taken } = table.take('a.example', ['192.0.2.1'], 1, NOW + 1000);
  assert.equal(taken[0]?.expiresAtMs, NOW + 300_000);
});

test('above the bound of a name, what was not asked for the longest goes', () => {
  const table = new LeaseTable([], { addressesOfName: 2, addresses: 10 });
  table.take('other.example', ['192.0.2.9'], 60, NOW);
  table.take('a.example', ['192.0.2.1', '192.0.2.2'], 60, NOW);
  table.take('a.example', ['192.0.2.1'], 60, NOW);
  const { evicted } = table.take('a.example', ['192.0.2.3'], 60, NOW);
  assert.deepEqual(
    evicted.map(({ address }) => address),
    ['192.0.2.2'],
  );
  const left = ['other.example 192.0.2.9', 'a.example 192.0.2.1', 'a.example 192.0.2.3'];
  assert.deepEqual(said(table), left);
});

test('above the bound of a VM too', () => {
  const table = new LeaseTable([], { addressesOfName: 64, addresses: 3 });
  for (const name of ['a', 'b', 'c', 'a', 'd']) table.take(name, ['192.0.2.1'], 60, NOW);
  assert.deepEqual(said(table), ['c 192.0.2.1', 'a 192.0.2.1', 'd 192.0.2.1']);
});

test('the names of an address are those that hold it still, the one asked for last at the end', () => {
  const table = new LeaseTable([], { addressesOfName: 64, addresses: 3 });
  const names = (address: string) => table.ofAddress(address).map(({ name }) => name);
  const [oldest] = table.take('a', ['192.0.2.1'], 60, NOW).taken;
  table.take('b', ['192.0.2.1', '192.0.2.2'], 60, NOW);
  assert.deepEqual(names('192.0.2.1'), ['a', 'b']);
  const [newer] = table.take('a', ['192.0.2.1'], 90, NOW).taken;
  assert.deepEqual([table.has(oldest!), table.has(newer!)], [false, true]);
  assert.deepEqual(names('192.0.2.1'), ['b', 'a']);
  table.take('c', ['192.0.2.3'], 60, NOW);
  assert.deepEqual(names('192.0.2.1'), ['a'], 'evicted with what was asked for the longest ago');
  table.remove(({ name }) => name === 'a');
  assert.deepEqual(names('192.0.2.1'), []);
  assert.equal(table.has(newer!), false);
});
