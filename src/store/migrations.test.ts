import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { UNLIMITED } from '../policy/bandwidth.ts';
import { DENY_ALL } from '../policy/policy.ts';
import { parsePublishedPorts } from '../policy/published-ports.ts';
import { MIGRATIONS } from './migrations.ts';
import { Store, type VmRecord } from './store.ts';

/**
 * What `sqlite3 vmsan.db .dump` gave of each version's database, in which one VM
 * runs under deny-all. Fixed: not made by the code under test.
 */
const TABLES = `
  CREATE TABLE lent_sysctls (path TEXT PRIMARY KEY, before TEXT NOT NULL) STRICT;
  CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  INSERT INTO lent_sysctls VALUES ('net/ipv4/conf/eth0/forwarding', '0');
  INSERT INTO facts VALUES ('boot', '0f2b');
  CREATE TABLE vms (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, state TEXT NOT NULL,
    slot INTEGER NOT NULL UNIQUE, vcpus INTEGER NOT NULL, memory_mib INTEGER NOT NULL,
    disk_bytes INTEGER NOT NULL, policy TEXT NOT NULL, generation INTEGER NOT NULL,
    accelerator TEXT NOT NULL, created_at_ms INTEGER NOT NULL, pid INTEGER, start_ticks TEXT`;
const vm = (policy: string, more = '') =>
  `INSERT INTO vms VALUES ('vm-0badcafe', 'web', 'running', 3, 2, 512, 10737418240,
     '${policy}', 4, 'tcg', 1800000000000, 42, '7'${more});`;

const VERSIONS: string[] = [
  `${TABLES}) STRICT; ${vm('{"base":"deny-all"}')}`,
  `${TABLES}) STRICT;
   ${vm('{"base":"deny-all","default":"deny","allowed":[],"denied":[],"opened":[]}')}`,
  `${TABLES}) STRICT;
   ${vm('{"base":"deny-all","default":"deny","allowed":[],"denied":[],"opened":[],"domains":[]}')}`,
  `${TABLES}, autostart INTEGER NOT NULL DEFAULT 0) STRICT;
   ${vm('{"base":"deny-all","default":"deny","allowed":[],"denied":[],"opened":[],"domains":[]}', ', 0')}`,
  `${TABLES}, autostart INTEGER NOT NULL DEFAULT 0, netns INTEGER NOT NULL DEFAULT 1) STRICT;
   ${vm('{"base":"deny-all","default":"deny","allowed":[],"denied":[],"opened":[],"domains":[]}', ', 0, 1')}`,
  `${TABLES}, autostart INTEGER NOT NULL DEFAULT 0, netns INTEGER NOT NULL DEFAULT 1,
   bandwidth_out INTEGER, bandwidth_in INTEGER) STRICT;
   ${vm('{"base":"deny-all","default":"deny","allowed":[],"denied":[],"opened":[],"domains":[]}', ', 0, 1, NULL, NULL')}`,
  `${TABLES}, autostart INTEGER NOT NULL DEFAULT 0, netns INTEGER NOT NULL DEFAULT 1,
   bandwidth_out INTEGER, bandwidth_in INTEGER, ports TEXT NOT NULL DEFAULT '[]') STRICT;
   ${vm('{"base":"deny-all","default":"deny","allowed":[],"denied":[],"opened":[],"domains":[]}', ", 0, 1, NULL, NULL, '[]'")}`,
];

const RECORD: VmRecord = {
  id: 'vm-0badcafe',
  name: 'web',
  state: 'running',
  slot: 3,
  vcpus: 2,
  memoryMib: 512,
  diskBytes: 10 * 2 ** 30,
  policy: DENY_ALL,
  generation: 4,
  bandwidth: UNLIMITED,
  ports: [],
  accelerator: 'tcg',
  createdAtMs: 1_800_000_000_000,
  autostart: false,
  netns: true,
  process: { pid: 42, startTicks: '7' },
};

describe('a database of an older vmsan', () => {
  let directory: string;
  beforeEach(() => (directory = mkdtempSync(join(tmpdir(), 'vmsan-migrations-'))));
  afterEach(() => rmSync(directory, { recursive: true }));

  test('is tried of every version', () => {
    assert.equal(VERSIONS.length, MIGRATIONS.length);
  });

  for (const [index, sql] of VERSIONS.entries()) {
    const version = index + 1;
    test(`of version ${version} keeps what it says, and can be written`, () => {
      const db = new DatabaseSync(join(directory, 'vmsan.db'));
      db.exec(`BEGIN; ${sql} PRAGMA user_version = ${version}; COMMIT`);
      db.close();
      const store = new Store(directory);
      assert.deepEqual(store.vms(), [RECORD]);
      assert.equal(store.fact('boot'), '0f2b');
      assert.equal(store.lentSysctls().length, 1);
      const other = {
        ...RECORD,
        id: 'vm-00000002',
        name: 'two',
        slot: 4,
        autostart: true,
        netns: false,
        ports: parsePublishedPorts(['8080', '127.0.0.1:5353:53/udp']),
      };
      const bandwidth = { out: 50_000_000, in: null };
      const ports = parsePublishedPorts(['0:80']);
      store.addVm(other);
      store.updateVm({ ...RECORD, state: 'stopped', process: null, bandwidth, ports });
      store.close();
      const again = new Store(directory);
      assert.deepEqual(
        again.vms().toSorted((a, b) => b.slot - a.slot),
        [other, { ...RECORD, state: 'stopped', process: null, bandwidth, ports }],
      );
      again.close();
    });
  }

  test('a policy that was only "allow-all" allows by default', () => {
    const db = new DatabaseSync(join(directory, 'vmsan.db'));
    db.exec(`${TABLES}) STRICT; ${vm('{"base":"allow-all"}')} PRAGMA user_version = 1`);
    db.close();
    const store = new Store(directory);
    assert.partialDeepStrictEqual(store.vms()[0]?.policy, { base: 'allow-all', default: 'allow' });
    store.close();
  });
});
