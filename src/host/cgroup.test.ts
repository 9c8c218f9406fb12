import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { ControlGroups, enterGroups } from './cgroup.ts';
import { findHierarchies } from './cgroup-mounts.ts';

const LIMITS = { memoryBytes: 1000, pids: 20, cpus: 1.5 };
const none = () => '';

describe('where control groups are', () => {
  test('v1: below the group that this process is in', () => {
    const mounts = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw`;
    const own = '9:name=systemd:/x\n8:pids:/\n4:memory:/some/group\n1:cpu,cpuacct:/\n0::/\n';
    assert.deepEqual(findHierarchies(mounts, own, none), [
      { version: 1, base: '/sys/fs/cgroup/cpu,cpuacct', controllers: ['cpu'] },
      { version: 1, base: '/sys/fs/cgroup/memory/some/group', controllers: ['memory'] },
      { version: 1, base: '/sys/fs/cgroup/pids', controllers: ['pids'] },
    ]);
  });

  test('v1 in a container that is shown its own part of the tree', () => {
    const mounts = '35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory';
    assert.deepEqual(findHierarchies(mounts, '4:memory:/docker/abc\n', none), [
      { version: 1, base: '/sys/fs/cgroup/memory', controllers: ['memory'] },
    ]);
  });

  test('v2: at the top, with the controllers it has', () => {
    const mounts = '30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw';
    const own = '0::/user.slice/user-0.slice/session-3.scope\n';
    assert.deepEqual(
      findHierarchies(mounts, own, () => 'cpuset cpu io memory hugetlb pids rdma\n'),
      [{ version: 2, base: '/sys/fs/cgroup', controllers: ['cpu', 'memory', 'pids'] }],
    );
    assert.deepEqual(findHierarchies(mounts, own, none), []);
  });
});

/** A directory tree in the place of the kernel's: a new group has the files of its version. */
describe('control groups', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'vmsan-cgroup-test-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const read = (path: string) => readFileSync(join(root, path), 'utf8');
  const filesIn = (path: string) => {
    for (const file of [
      ...['cgroup.procs', 'cgroup.subtree_control', 'cpu.max', 'memory.max', 'pids.max'],
      ...['cpu.cfs_period_us', 'cpu.cfs_quota_us', 'memory.limit_in_bytes'],
    ]) {
      writeFileSync(join(path, file), '');
    }
  };
  const files = {
    mkdir: (path: string) => {
      mkdirSync(path);
      filesIn(path);
    },
    rmdir: (path: string) => {
      const children = statSync(path).nlink - 2;
      if (children > 0) throw Object.assign(new Error('not empty'), { code: 'ENOTEMPTY' });
      rmSync(path, { recursive: true });
    },
    write: (path: string, text: string) => writeFileSync(path, text, { flag: 'r+' }),
  };

  test('v2: controllers are handed down, limits set, and nothing is left', async () => {
    filesIn(root);
    const v2 = { version: 2, base: root, controllers: ['cpu', 'memory', 'pids'] } as const;
    const groups = new ControlGroups('ours', [v2], files);
    assert.deepEqual(groups.missing(), []);
    const entered = groups.make('one', LIMITS);
    assert.deepEqual(entered, [join(root, 'ours/one')]);
    assert.equal(read('cgroup.subtree_control'), '+cpu +memory +pids');
    assert.equal(read('ours/cgroup.subtree_control'), '+cpu +memory +pids');
    assert.equal(read('ours/one/cpu.max'), '150000 100000');
    assert.equal(read('ours/one/memory.max'), '1000');
    assert.equal(read('ours/one/pids.max'), '20');
    enterGroups(entered, 42);
    assert.equal(read('ours/one/cgroup.procs'), '42');
    assert.ok(!groups.ranOutOfMemory('one'));
    writeFileSync(join(root, 'ours/one/memory.events'), 'oom 3\noom_kill 1\n');
    assert.ok(groups.ranOutOfMemory('one'));
    groups.make('two', LIMITS);
    groups.make('two', LIMITS);
    assert.deepEqual(groups.children().toSorted(), ['one', 'two']);
    await groups.remove('one');
    await groups.remove('one');
    assert.deepEqual(groups.children(), ['two']);
    await groups.remove('two');
    assert.ok(!existsSync(join(root, 'ours')));
  });

  test('v1: one directory for each controller', () => {
    for (const controller of ['cpu', 'memory', 'pids']) mkdirSync(join(root, controller));
    const v1 = (['cpu', 'memory', 'pids'] as const).map(
      (name) => ({ version: 1, base: join(root, name), controllers: [name] }) as const,
    );
    const groups = new ControlGroups('ours', v1, files);
    assert.equal(groups.make('one', LIMITS).length, 3);
    assert.equal(read('cpu/ours/one/cpu.cfs_quota_us'), '150000');
    assert.equal(read('memory/ours/one/memory.limit_in_bytes'), '1000');
    assert.equal(read('pids/ours/one/pids.max'), '20');
  });

  test('what cannot be had is named with its reason, and left out', () => {
    const readOnly = {
      ...files,
      mkdir: (path: string) => {
        throw Object.assign(new Error(`EROFS: ${path}`), { code: 'EROFS' });
      },
    };
    const base = join(root, 'memory');
    const groups = new ControlGroups(
      'ours',
      [{ version: 1, base, controllers: ['memory'] }],
      readOnly,
    );
    assert.deepEqual(groups.missing(), [
      { controller: 'cpu', reason: 'it is mounted nowhere' },
      { controller: 'pids', reason: 'it is mounted nowhere' },
      { controller: 'memory', reason: `EROFS: ${base}/ours` },
    ]);
    assert.deepEqual(groups.make('one', LIMITS), []);
  });
});
