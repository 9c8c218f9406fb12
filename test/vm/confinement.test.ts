import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { VmJson } from '../../src/cli/print/vm.ts';
import { Lab } from '../lab/lab.ts';
import { until } from '../lab/until.ts';

const DISK_BYTES = 1024 ** 3;

describe('what a VM may use of its host', () => {
  let lab: Lab;
  let vm: VmJson;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    vm = await lab.vmsanJson<VmJson>(['create', '--name', 'web', '--disk', '1g', '--vcpus', '2']);
  });
  after(async () => {
    await lab?.stop();
  });

  const sh = async (script: string) =>
    (await lab.exec(['sh', '-c', script], { check: true })).stdout;
  /** The limits of a process by their names in proc_pid_limits(5): soft and hard, in bytes or numbers. */
  const limitsOf = async (pid: number) => {
    const lines = (await sh(`cat /proc/${pid}/limits`)).split('\n').slice(1);
    return new Map(
      lines.map((line) => [line.slice(0, 26).trim(), line.slice(26, 68).trim().split(/ +/)]),
    );
  };

  test('its QEMU has limits on files, threads, locked memory and cores', async () => {
    const limits = await limitsOf(vm.pid!);
    for (const [name, value] of [
      ['Max file size', DISK_BYTES + 1024 * 1024],
      ['Max core file size', 0],
      ['Max open files', 256],
      ['Max processes', 1024],
      ['Max locked memory', 65_536],
      ['Max msgqueue size', 0],
    ] as const) {
      assert.deepEqual(limits.get(name), [String(value), String(value)], name);
    }
  });

  /** The text of a file of the group that a process is in. */
  const groupFile = async (pid: number, controller: string, v1: string, v2: string) => {
    const groups = await sh(`cat /proc/${pid}/cgroup`);
    const own = new RegExp(`^\\d+:(?:.*,)?${controller}(?:,.*)?:(.*)$`, 'm').exec(groups)?.[1];
    const file =
      own === undefined ? `${/^0::(.*)$/m.exec(groups)?.[1]}/${v2}` : `/${controller}${own}/${v1}`;
    assert.match(file, /\/vmsan-\d+\/vm-[0-9a-f]{8}\//, 'a group of its own');
    return (await sh(`cat /sys/fs/cgroup${file}`)).trim();
  };

  test('its QEMU is in groups that bound memory, processors and threads', async () => {
    const pid = vm.pid!;
    const memory = await groupFile(pid, 'memory', 'memory.limit_in_bytes', 'memory.max');
    assert.equal(Number(memory), (512 + 512) * 2 ** 20);
    assert.equal(await groupFile(pid, 'pids', 'pids.max', 'pids.max'), '82');
    assert.match(await groupFile(pid, 'cpu', 'cpu.cfs_quota_us', 'cpu.max'), /^300000\b/);
    const { stdout } = await lab.vmsan(['doctor']);
    assert.match(stdout, /✓ control groups .*memory \(v[12]\) in /);
  });

  test('what its QEMU says is kept in a file that does not grow', async () => {
    const file = `/proc/${vm.pid}/fd/2`;
    assert.equal(
      await sh(`stat -L -c %s ${file}; ls /run/vmsan/vms/${vm.id}`),
      '65536\nagent.sock\nqmp.sock\n',
    );
    const more = await lab.exec(['sh', '-c', `head -c 100000 /dev/zero >>${file}`]);
    assert.match(more.stderr, /not permitted/);
    assert.equal(await sh(`stat -L -c %s ${file}`), '65536\n');
  });

  test('the gate has limits too', async () => {
    const { gatePid } = await lab.vmsanJson<{ gatePid: number }>(['daemon', 'status']);
    const limits = await limitsOf(gatePid);
    assert.deepEqual(limits.get('Max data size'), ['2147483648', '2147483648']);
    assert.deepEqual(limits.get('Max file size'), ['16777216', '16777216']);
    assert.deepEqual(limits.get('Max processes'), ['1024', '1024']);
  });

  test('a guest that uses all of its memory, processors and processes lives on', async () => {
    const burst = `yes >/dev/null & yes >/dev/null &
      mount -t tmpfs -o size=440m all /mnt; dd if=/dev/zero of=/mnt/all bs=1M count=400 status=none
      umount /mnt; dd if=/dev/zero of=/big bs=1M count=100 status=none
      for i in $(seq 100); do sleep 30 & done; sync; ls -s --block-size=M /big; kill -9 -1`;
    await lab.vmsan(['exec', 'web', 'sh', '-c', burst], { timeoutMs: 300_000 });
    const { stdout } = await lab.vmsan(['exec', 'web', 'ls', '-s', '--block-size=M', '/big'], {
      check: true,
    });
    assert.match(stdout, /^10[01]M \/big/);
    const events = await groupFile(vm.pid!, 'memory', 'memory.oom_control', 'memory.events');
    assert.match(events, /^oom_kill 0$/m);
  });

  test('a group goes with its VM, however the daemon ends', async () => {
    const groupsOf = async (id: string) =>
      (await sh(`find /sys/fs/cgroup -type d -name ${id} | wc -l`)).trim();
    const { pid } = await lab.vmsanJson<{ pid: number }>(['daemon', 'status']);
    assert.notEqual(await groupsOf(vm.id), '0');
    const stray = `$(find /sys/fs/cgroup -type d -name ${vm.id} | head -n 1)/../vm-0badcafe`;
    await sh(`mkdir ${stray}`);
    await sh(`kill -9 ${pid}`);
    await lab.vmsan(['exec', 'web', 'true'], { check: true });
    assert.equal(await groupsOf('vm-0badcafe'), '0', 'one without a record');
    assert.notEqual(await groupsOf(vm.id), '0');
    const next = await lab.vmsanJson<{ pid: number }>(['daemon', 'status']);
    await sh(`kill -9 ${next.pid} ${vm.pid}`);
    await lab.vmsan(['list'], { check: true });
    assert.equal(await groupsOf(vm.id), '0', 'of one that has ended meanwhile');
    await lab.vmsan(['start', 'web'], { check: true });
    assert.notEqual(await groupsOf(vm.id), '0');
    await lab.vmsan(['rm', '--force', 'web'], { check: true });
    const own = 'vmsan-$(stat -L -c %i /proc/self/ns/net)';
    assert.equal(await sh(`find /sys/fs/cgroup -type d -name ${own}`), '');
  });

  test('a QEMU that needs more memory than its limit ends alone, and it is said', async () => {
    const { id, pid } = await lab.vmsanJson<VmJson>(['create', '--name', 'greedy']);
    // Of a limit that nothing can reach we take most away.
    await sh(`cd $(find /sys/fs/cgroup -type d -name ${id} -path '*/memory/*' | grep . ||
        find /sys/fs/cgroup -type d -name ${id})
      for file in memory.limit_in_bytes memory.memsw.limit_in_bytes memory.max memory.swap.max; do
        [ ! -e $file ] || echo 350M >$file
      done`);
    await lab.vmsan(['exec', 'greedy', 'dd', 'if=/dev/zero', 'of=/dev/null', 'bs=300M', 'count=1']);
    await until('its event says why', async () =>
      (await lab.vmsan(['events'])).stdout.includes('its QEMU used more memory than its limit'),
    );
    assert.equal((await lab.exec(['test', '-e', `/proc/${pid}`])).exitCode, 1);
    await lab.vmsan(['rm', 'greedy'], { check: true });
  });

  test('where groups cannot be had VMs work, and it is said', async () => {
    const remount = (mode: string) => sh(`mount -o remount,bind,${mode} /sys/fs/cgroup/pids`);
    await remount('ro');
    const { stderr } = await lab.vmsan(['create', '--name', 'free'], { check: true });
    assert.match(stderr, /^a VM's use of pids \(EROFS.*\): it is not limited$/m);
    assert.match((await lab.vmsan(['doctor'])).stdout, /^! control groups +not to be had: pids/m);
    await lab.vmsan(['rm', '--force', 'free'], { check: true });
    await remount('rw');
  });
});
