import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { VmJson } from '../../src/cli/print/vm.ts';
import { Lab } from '../lab/lab.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';

const BOOT_DEADLINE_MS = 90_000;

/** By name: vmsand and the gate are main threads of Node. */
const OURS = '^(MainThread|node|qemu-system)';

/**
 * All that a host loses when its power goes: processes, namespaces, links, rules, /run.
 * At one moment: a daemon that sees a machine end notes it as stopped, and stopped it stays.
 */
const POWER_CUT = `
  pkill -STOP "$OURS"
  pkill -9 "$OURS"
  while pgrep "$OURS" >/dev/null; do sleep 0.02; done
  ip -all netns delete; umount -l /run/netns; rm -rf /run/netns /run/vmsan
  ip -o link | grep -o ' vm[^:@]*' | xargs -rn1 ip link delete
  nft flush ruleset`;

describe('after a reboot of the host', () => {
  let lab: Lab;
  const flags = ['--memory', '256m', '--network-policy'];

  before(async () => {
    lab = await Lab.start();
    for (const [name, ...more] of [
      ['shut', '--autostart', ...flags, 'deny-all'],
      ['open', '--autostart', ...flags, 'allow-all'],
      ['plain', ...flags, 'allow-all'],
      ['halted', '--autostart', ...flags, 'allow-all'],
    ]) {
      await lab.vmsan(['create', '--name', name!, ...more], { check: true });
    }
    await lab.vmsan(['exec', 'shut', 'sh', '-c', 'echo kept >/root/kept; sync'], { check: true });
    await lab.vmsan(['stop', 'halted'], { check: true });
  });
  after(async () => {
    await lab?.stop();
  });

  const powerCut = () => lab.exec(['sh', '-c', POWER_CUT], { env: { OURS } });
  /** The kernel's name for the next boot, over what it says of this one. */
  const nextBoot = async () => {
    const file = '/proc/sys/kernel/random/boot_id';
    const script = `echo ${randomUUID()} >/run/boot_id; umount ${file} 2>/dev/null
      mount --bind /run/boot_id ${file}`;
    await lab.exec(['sh', '-c', script], { check: true });
  };
  const states = async () => {
    const vms = await lab.vmsanJson<VmJson[]>(['list']);
    return Object.fromEntries(vms.map(({ name, state }) => [name, state]));
  };
  const untilRuns = (...names: string[]) =>
    until(
      `${names.join(' and ')} run`,
      async () => {
        const now = await states();
        return names.every((name) => now[name] === 'running');
      },
      { deadlineMs: BOOT_DEADLINE_MS },
    );
  const lookUp = async (name: string) => {
    const dig = ['dig', '+short', '+tries=1', '+time=15', world.website.name];
    return (await lab.vmsan(['exec', name, ...dig])).stdout;
  };

  test('without one, nothing starts by itself: not what died with the daemon', async () => {
    await lab.vmsan(['create', '--name', 'died', '--autostart', ...flags, 'deny-all'], {
      check: true,
    });
    const [{ pid } = { pid: 0 }] = await lab.vmsanJson<{ pid: number }[]>(['inspect', 'died']);
    const daemon = await lab.vmsanJson<{ pid: number }>(['daemon', 'status']);
    await lab.exec(['kill', '-9', String(daemon.pid), String(pid)], { check: true });
    await until('it is stopped', async () => (await states())['died'] === 'stopped');
    await lab.vmsan(['exec', 'open', 'true'], { check: true });
    assert.equal((await states())['died'], 'stopped');
    await lab.vmsan(['rm', 'died'], { check: true });
  });

  test('the unit’s command starts those that are marked and ran, under their policies', async () => {
    const { stdout: unit } = await lab.vmsan(['daemon', 'unit'], { check: true });
    const [, command = ''] = /^ExecStart=(.*)$/m.exec(unit) ?? [];
    await powerCut();
    await nextBoot();
    const mark = await lab.mark();
    const path = 'PATH=/usr/sbin:/usr/bin:/sbin:/bin';
    await lab.exec(['env', '-i', path, ...command.split(' ')], { check: true, timeoutMs: 60_000 });
    await untilRuns('shut', 'open');
    assert.deepEqual(await states(), {
      shut: 'running',
      open: 'running',
      plain: 'stopped',
      halted: 'stopped',
    });
    assert.equal(await lookUp('shut'), '');
    assert.deepEqual(await lab.arrivals(mark), [], 'deny-all held throughout');
    assert.equal(await lookUp('open'), `${world.website.address}\n`);
    const { stdout } = await lab.vmsan(['exec', 'shut', 'cat', '/root/kept'], { check: true });
    assert.equal(stdout, 'kept\n');
    const vms = await lab.vmsanJson<VmJson[]>(['list']);
    assert.deepEqual(
      vms.map(({ name, autostart }) => [name, autostart]),
      [
        ['shut', true],
        ['open', true],
        ['plain', false],
        ['halted', true],
      ],
    );
  });

  test('a daemon that dies while it starts them: the next one goes on', async () => {
    await powerCut();
    await nextBoot();
    await lab.exec(['sh', '-c', 'echo -n start:4 >/run/crash'], { check: true });
    await lab.vmsan(['daemon', 'start'], { env: { VMSAN_TEST_CRASH: '/run/crash' } });
    await until('that daemon has died', async () => {
      const { exitCode } = await lab.exec(['pgrep', '^MainThread']);
      return exitCode !== 0;
    });
    await untilRuns('shut', 'open');
    assert.equal((await states())['plain'], 'stopped');
  });

  test('what cannot be started is stopped, and the others run', async () => {
    await powerCut();
    await nextBoot();
    const [shut] = await lab.vmsanJson<VmJson[]>(['inspect', 'shut']).catch(() => []);
    await untilRuns('shut', 'open');
    const disk = `/var/lib/vmsan/vms/${shut!.id}/disk.raw`;
    await powerCut();
    await nextBoot();
    await lab.exec(['mv', disk, '/root/disk'], { check: true });
    await untilRuns('open');
    await until('it was tried', async () => {
      const { stdout } = await lab.vmsan(['events']);
      return /shut.*could not be started after the reboot/.test(stdout);
    });
    assert.equal((await states())['shut'], 'stopped');
    await lab.exec(['mv', '/root/disk', disk], { check: true });
    await lab.vmsan(['start', 'shut'], { check: true });
  });
});
