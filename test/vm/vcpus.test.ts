import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { VmJson } from '../../src/cli/print/vm.ts';
import { Lab } from '../lab/lab.ts';

/** Keeps every processor busy at the same time ; prints its number when its work is done. */
const BUSY = `
for n in $(seq 0 $(($(nproc) - 1))); do
  taskset -c $n sh -c "i=0; while [ \\$i -lt 10000 ]; do i=\\$((i + 1)); done
    echo $n" &
done
wait`;

describe('a VM with several processors', () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.start();
  });
  after(async () => {
    await lab?.stop();
  });

  /** Clock ticks that each thread of a process has had (proc_pid_stat(5), fields 14 and 15). */
  const ticks = async (pid: number): Promise<Map<string, number>> => {
    const { stdout } = await lab.exec(['sh', '-c', `cat /proc/${pid}/task/*/stat`]);
    return new Map(
      stdout
        .trim()
        .split('\n')
        .map((line) => {
          const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
          return [line.split(' ')[0] ?? '', Number(fields[11]) + Number(fields[12])];
        }),
    );
  };

  for (const vcpus of [2, 4]) {
    test(`${vcpus}: all are there, and each has a thread of QEMU's that works`, async () => {
      const name = `cpus-${vcpus}`;
      const flags = ['--vcpus', String(vcpus), '--network-policy', 'deny-all'];
      const vm = await lab.vmsanJson<VmJson>(['create', '--name', name, ...flags]);
      assert.equal(vm.vcpus, vcpus);
      assert.equal((await lab.vmsan(['exec', name, 'nproc'])).stdout, `${vcpus}\n`);
      const before = await ticks(vm.pid!);
      const { stdout } = await lab.vmsan(['exec', name, 'sh', '-c', BUSY], { check: true });
      const numbers = Array.from({ length: vcpus }, (_, n) => String(n));
      assert.deepEqual(stdout.trim().split('\n').toSorted(), numbers);
      const after = await ticks(vm.pid!);
      const worked = [...after].filter(([id, now]) => now - (before.get(id) ?? 0) >= 3);
      assert.ok(worked.length >= vcpus, `${worked.length} threads worked`);
    });
  }

  test('stopped and started, it has them still', async () => {
    await lab.vmsan(['stop', '--time', '1', 'cpus-2'], { check: true });
    await lab.vmsan(['start', 'cpus-2'], { check: true });
    assert.equal((await lab.vmsan(['exec', 'cpus-2', 'nproc'])).stdout, '2\n');
  });
});
