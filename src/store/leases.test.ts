import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { LeaseStore } from './leases.ts';

let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'vmsan-leases-'))));
afterEach(() => rmSync(directory, { recursive: true }));

const A = { name: 'a.example', address: '192.0.2.1', expiresAtMs: 2000 };
const B = { name: 'b.example', address: '192.0.2.1', expiresAtMs: 1000 };

test('what names hold is there for the next daemon, VM by VM', () => {
  const first = new LeaseStore(directory);
  first.change('vm-1', [A, B], []);
  first.change('vm-2', [A], []);
  first.close();
  const second = new LeaseStore(directory);
  assert.deepEqual(second.of('vm-1'), [B, A]);
  second.change('vm-1', [{ ...A, expiresAtMs: 3000 }], [B]);
  assert.deepEqual(second.of('vm-1'), [{ ...A, expiresAtMs: 3000 }]);
  second.forget('vm-1');
  assert.deepEqual(second.of('vm-1'), []);
  assert.deepEqual(second.of('vm-2'), [A]);
  second.close();
});

test('nobody else can read it', () => {
  const store = new LeaseStore(directory);
  store.change('vm-1', [A], []);
  for (const file of readdirSync(directory)) {
    assert.equal(statSync(join(directory, file)).mode & 0o077, 0, file);
  }
  store.close();
});
