import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Failure } from '../host/failure.ts';
import { UNLIMITED } from '../policy/bandwidth.ts';
import { ALLOW_ALL } from '../policy/policy.ts';
import { Store, type VmRecord } from '../store/store.ts';
import { findVm } from './find.ts';

const directory = mkdtempSync(join(tmpdir(), 'vmsan-find-'));
const store = new Store(directory);
after(() => {
  store.close();
  rmSync(directory, { recursive: true });
});

function record(id: string, name: string, slot: number): VmRecord {
  return {
    id,
    name,
    slot,
    state: 'running',
    vcpus: 1,
    memoryMib: 512,
    diskBytes: 1024,
    ports: [],
    policy: ALLOW_ALL,
    generation: 1,
    bandwidth: UNLIMITED,
    accelerator: 'tcg',
    createdAtMs: slot,
    autostart: false,
    netns: true,
    process: null,
  };
}

store.addVm(record('vm-11110000', 'web', 0));
store.addVm(record('vm-11112222', 'web-two', 1));
store.addVm(record('vm-33334444', 'vm-33334444', 2));

const codeOf = (reference: string) => {
  try {
    return findVm(store, reference).id;
  } catch (error) {
    return error instanceof Failure ? error.code : error;
  }
};

test('an id, a name or a unique prefix of either names a VM', () => {
  assert.equal(codeOf('vm-11110000'), 'vm-11110000');
  assert.equal(codeOf('web'), 'vm-11110000', 'a whole name wins over a prefix');
  assert.equal(codeOf('web-'), 'vm-11112222');
  assert.equal(codeOf('vm-3'), 'vm-33334444');
});

test('a prefix of several is bad input, one of none not found', () => {
  assert.equal(codeOf('vm-1111'), 'bad_input');
  assert.equal(codeOf('we'), 'bad_input');
  assert.equal(codeOf('db'), 'not_found');
  assert.equal(codeOf(''), 'not_found');
});
