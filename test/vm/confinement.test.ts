import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { VmJson } from '../../src/cli/print/vm.ts';
import { Lab } from '../lab/lab.ts';

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
      ['Max processes', 2 + 64 + 16],
      ['Max locked memory', 65_536],
      ['Max msgqueue size', 0],
    ] as const) {
      assert.deepEqual(limits.get(name), [String(value), String(value)], name);
    }
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
    assert.deepEqual(limits.get('Max processes'), ['64', '64']);
  });

  test('a guest that uses all of its disk, processors and processes lives on', async () => {
    const burst = `yes >/dev/null & yes >/dev/null & dd if=/dev/zero of=/big bs=1M count=300 status=none
      for i in $(seq 300); do sleep 30 & done; sync; ls -s --block-size=M /big; kill -9 -1`;
    await lab.vmsan(['exec', 'web', 'sh', '-c', burst]);
    const { stdout } = await lab.vmsan(['exec', 'web', 'ls', '-s', '--block-size=M', '/big'], {
      check: true,
    });
    assert.match(stdout, /^30[01]M \/big/);
  });
});
