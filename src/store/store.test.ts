import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { Failure } from '../host/failure.ts';
import { DENY_ALL } from '../policy/policy.ts';
import { Store, type VmRecord } from './store.ts';

const VM: VmRecord = {
  id: 'vm-0badcafe',
  name: 'web',
  state: 'creating',
  slot: 3,
  vcpus: 2,
  memoryMib: 512,
  diskBytes: 10 * 2 ** 30,
  policy: DENY_ALL,
  generation: 1,
  bandwidth: { out: 1_500_000, in: 100_000_000_000 },
  ports: [{ protocol: 'udp', address: '127.0.0.1', hostPort: 5353, guestPort: 53 }],
  accelerator: 'tcg',
  createdAtMs: 1_800_000_000_000,
  autostart: true,
  netns: false,
  process: null,
};

let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'vmsan-store-'))));
afterEach(() => rmSync(directory, { recursive: true }));

test('what is written is there for the next daemon', () => {
  const first = new Store(directory);
  first.addVm(VM);
  const running: VmRecord = { ...VM, state: 'running', process: { pid: 42, startTicks: '7' } };
  first.updateVm(running);
  first.addLentSysctl('net/ipv4/conf/eth0/forwarding', '0');
  first.setFact('kvm', 'no');
  first.close();

  const second = new Store(directory);
  assert.deepEqual(second.vms(), [running]);
  assert.deepEqual(
    second.lentSysctls().map((row) => ({ ...row })),
    [{ path: 'net/ipv4/conf/eth0/forwarding', before: '0' }],
  );
  assert.equal(second.fact('kvm'), 'no');
  second.removeVm(VM.id);
  assert.deepEqual(second.vms(), []);
  second.close();
});

test('a name and a slot are one VM’s', () => {
  const store = new Store(directory);
  store.addVm(VM);
  assert.throws(() => store.addVm({ ...VM, id: 'vm-1', slot: 4 }), /UNIQUE/);
  assert.throws(() => store.addVm({ ...VM, id: 'vm-1', name: 'other' }), /UNIQUE/);
  store.close();
});

test('nobody else can read the database', () => {
  const store = new Store(directory);
  store.addVm(VM);
  for (const file of readdirSync(directory)) {
    assert.equal(statSync(join(directory, file)).mode & 0o077, 0, file);
  }
  store.close();
});

test('a database of a newer vmsan is left alone', () => {
  const db = new DatabaseSync(join(directory, 'vmsan.db'));
  db.exec('PRAGMA user_version = 99');
  db.close();
  assert.throws(
    () => new Store(directory),
    (error) => error instanceof Failure && error.code === 'conflict' && /newer/.test(error.message),
  );
});
