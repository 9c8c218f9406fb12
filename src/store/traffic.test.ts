import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { TrafficStore, type Decided, type TrafficChange } from './traffic.ts';

let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'vmsan-traffic-'))));
afterEach(() => rmSync(directory, { recursive: true }));

function decided(what: string, atMs: number, more: Partial<Decided> = {}): Decided {
  const none = { rule: '', reason: 'no rule allows it', address: '', port: 0 };
  const at = { firstAtMs: atMs, lastAtMs: atMs };
  return { kind: 'dns', what, verdict: 'deny', ...none, ...at, count: 1, ...more };
}

function change(vm: string, entries: Decided[], more: Partial<TrafficChange> = {}) {
  return new Map([[vm, { entries, leftOut: 0, ...more }]]);
}

test('like decisions are one, with their number and the first and last time', () => {
  const store = new TrafficStore(directory);
  store.change(change('vm-1', [decided('a.example', 10), decided('b.example', 20)]));
  store.change(change('vm-1', [decided('a.example', 30, { count: 4 })]));
  store.change(change('vm-2', [decided('a.example', 15)]));
  assert.deepEqual(store.of('vm-1'), [
    decided('b.example', 20),
    decided('a.example', 10, { lastAtMs: 30, count: 5 }),
  ]);
  assert.deepEqual(store.of('vm-2'), [decided('a.example', 15)]);
  store.close();
});

test('it is there for the next daemon, and gone with the VM', () => {
  const first = new TrafficStore(directory);
  first.change(change('vm-1', [decided('a.example', 10)], { leftOut: 2, read: '{"x":1}' }));
  first.change(change('vm-2', [decided('a.example', 10)]));
  first.close();
  const second = new TrafficStore(directory);
  assert.equal(second.of('vm-1').length, 1);
  assert.deepEqual([second.leftOut('vm-1'), second.read('vm-1')], [2, '{"x":1}']);
  second.forget('vm-1');
  assert.deepEqual(second.of('vm-1'), []);
  assert.deepEqual([second.leftOut('vm-1'), second.read('vm-1')], [0, null]);
  second.keepOnly(['vm-3']);
  assert.deepEqual(second.of('vm-2'), []);
  second.close();
});

test('since and denied choose', () => {
  const store = new TrafficStore(directory);
  const allowed = decided('a.example', 30, { verdict: 'allow' });
  store.change(change('vm-1', [decided('old.example', 10), decided('b.example', 20), allowed]));
  const names = (options: object) => store.of('vm-1', options).map(({ what }) => what);
  assert.deepEqual(names({ sinceMs: 20 }), ['b.example', 'a.example']);
  assert.deepEqual(names({ denied: true }), ['old.example', 'b.example']);
  assert.deepEqual(names({ sinceMs: 20, denied: true }), ['b.example']);
  store.close();
});

test('of a VM, and in all, the oldest go, and are counted', () => {
  const store = new TrafficStore(directory, { perVm: 10, total: 25 });
  const many = Array.from({ length: 30 }, (_, n) => decided(`${n}.example`, n, { count: 2 }));
  store.change(change('vm-1', many));
  assert.deepEqual(
    store.of('vm-1').map(({ lastAtMs }) => lastAtMs),
    [20, 21, 22, 23, 24, 25, 26, 27, 28, 29],
  );
  assert.equal(store.leftOut('vm-1'), 40);
  store.change(change('vm-2', many.slice(20)));
  store.change(change('vm-3', many.slice(20)));
  const kept = ['vm-1', 'vm-2', 'vm-3'].map((vm) => store.of(vm).length);
  assert.equal(kept[0]! + kept[1]! + kept[2]!, 25);
  const leftOut = ['vm-1', 'vm-2', 'vm-3'].map((vm) => store.leftOut(vm));
  assert.equal(leftOut[0]! + leftOut[1]! + leftOut[2]!, 40 + 2 * 5);
  store.close();
});

test('a file that is no database is made anew, and a directory that cannot be written does without', () => {
  writeFileSync(join(directory, 'traffic.db'), 'not a database, of some length '.repeat(100));
  const anew = new TrafficStore(directory);
  anew.change(change('vm-1', [decided('a.example', 10)]));
  anew.close();
  const file = join(directory, 'a-file');
  writeFileSync(file, '');
  const without = new TrafficStore(file);
  without.change(change('vm-1', [decided('a.example', 10)]));
  assert.equal(without.of('vm-1').length, 1);
  assert.ok(without.hasRoom());
  without.close();
});

test('nobody else can read it', () => {
  const store = new TrafficStore(directory);
  store.change(change('vm-1', [decided('a.example', 10)]));
  for (const file of readdirSync(directory)) {
    assert.equal(statSync(join(directory, file)).mode & 0o077, 0, file);
  }
  store.close();
});
