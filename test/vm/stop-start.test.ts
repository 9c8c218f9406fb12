import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { VmJson } from '../../src/cli/print/vm.ts';
import { Lab } from '../lab/lab.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { hostState } from './host-state.ts';

describe('a VM that stops and starts', () => {
  let lab: Lab;
  let clean: string;
  let web: VmJson;

  before(async () => {
    lab = await Lab.start();
    await lab.vmsan(['daemon', 'start'], { check: true });
    clean = await hostState(lab);
    const flags = ['--name', 'web', '--memory', '256m', '--network-policy', 'deny-all'];
    web = await lab.vmsanJson<VmJson>(['create', ...flags]);
  });
  after(async () => {
    await lab?.stop();
  });

  const sh = (script: string) => lab.vmsan(['exec', 'web', 'sh', '-c', script]);
  const now = async () => (await lab.vmsanJson<VmJson[]>(['inspect', 'web']))[0]!;
  /** A stopped VM keeps its record, its disk, and the place where `ip netns` lists what there is. */
  const withoutItsRecord = async () =>
    (await hostState(lab))
      .replace(`${web.id}\n`, '')
      .replace(/^netns\n/m, '')
      .replace(/^tmpfs \/run\/netns .*\n/m, '');
  const lookUp = async () =>
    (await lab.vmsan(['exec', 'web', 'dig', '+short', '+tries=1', '+time=15', world.website.name]))
      .stdout;

  test('stop ends its processes in order, and takes all away but its record and disk', async () => {
    // It answers SIGTERM by a file, which nothing writes to the disk but the orderly end.
    await sh(
      `(trap 'echo bye >/root/bye; exit' TERM; echo >/root/ready; while :; do sleep 0.1; done) >/dev/null 2>&1 &
       until test -e /root/ready; do sleep 0.05; done; echo kept >/root/kept`,
    );
    const { stdout, stderr, exitCode } = await lab.vmsan(['stop', 'web']);
    assert.equal(stderr, '');
    assert.equal(stdout, 'web\n');
    assert.equal(exitCode, 0);
    assert.deepEqual(await now(), { ...web, state: 'stopped', pid: null });
    assert.equal(await withoutItsRecord(), clean);
    const nothing = await lab.vmsan(['exec', 'web', 'true']);
    assert.equal(nothing.exitCode, 125);
    assert.match(nothing.stderr, /web is stopped/);
  });

  test('start boots it with its own disk, address and policy', async () => {
    const mark = await lab.mark();
    const { stdout, stderr } = await lab.vmsan(['start', 'web'], { check: true });
    assert.equal(stderr, '');
    assert.equal(stdout, 'web\n');
    const { pid, ...rest } = await now();
    assert.ok(pid !== null && pid !== web.pid);
    assert.deepEqual({ ...rest, pid: web.pid }, web);
    assert.equal((await sh('cat /root/kept /root/bye; hostname')).stdout, 'kept\nbye\nweb\n');
    assert.match((await sh('ip -br -4 addr show eth0')).stdout, new RegExp(`${web.guestIp}/30`));
    assert.equal(await lookUp(), '');
    assert.notEqual((await sh(`ping -c1 -W1 ${world.website.address}`)).exitCode, 0);
    assert.deepEqual(await lab.arrivals(mark), [], 'deny-all held throughout');
  });

  test('a policy that is set while it is stopped holds when it starts', async () => {
    await lab.vmsan(['stop', 'web'], { check: true });
    await lab.vmsan(['network', 'web', '--network-policy', 'allow-all'], { check: true });
    const [started] = await lab.vmsanJson<VmJson[]>(['start', 'web']);
    assert.partialDeepStrictEqual(started?.network, { policy: 'allow-all', generation: 2 });
    assert.equal(await lookUp(), `${world.website.address}\n`);
  });

  test('what is so already stays so', async () => {
    const { pid } = await now();
    assert.equal((await lab.vmsan(['start', 'web'])).stdout, 'web\n');
    assert.equal((await now()).pid, pid);
    await lab.vmsan(['stop', 'web'], { check: true });
    const [stopped] = await lab.vmsanJson<VmJson[]>(['stop', 'web']);
    assert.equal(stopped?.state, 'stopped');
  });

  test('a guest that powers itself off can be started, and its files are there', async () => {
    await lab.vmsan(['start', 'web'], { check: true });
    await sh('echo own >/root/own; sync; echo o >/proc/sysrq-trigger');
    await until('it is stopped', async () => (await now()).state === 'stopped', {
      deadlineMs: 30_000,
    });
    await lab.vmsan(['start', 'web'], { check: true });
    assert.equal((await sh('cat /root/own')).stdout, 'own\n');
  });

  test('a process that does not end is killed after the time given', async () => {
    await sh(`(trap '' TERM; while :; do sleep 0.1; done) >/dev/null 2>&1 & echo last >/root/last`);
    await lab.vmsan(['stop', '--time', '1', 'web'], { check: true });
    await lab.vmsan(['start', 'web'], { check: true });
    assert.equal(
      (await sh('cat /root/last')).stdout,
      'last\n',
      'its disk was written all the same',
    );
  });

  test('a machine that does not answer is ended: after the deadline, or at once', async () => {
    for (const time of ['1', '0']) {
      await lab.exec(['kill', '-STOP', String((await now()).pid)], { check: true });
      await lab.vmsan(['stop', '-t', time, 'web'], { check: true });
      assert.equal((await now()).state, 'stopped');
      await lab.vmsan(['start', 'web'], { check: true });
    }
  });

  test('a start that fails leaves it stopped, with nothing else', async () => {
    await lab.vmsan(['stop', 'web'], { check: true });
    await lab.exec(['ip', 'route', 'add', 'blackhole', `172.16.${web.slot}.0/24`], { check: true });
    const { exitCode, stderr } = await lab.vmsan(['start', 'web']);
    assert.equal(exitCode, 1);
    assert.match(stderr, /its network 172\.16\.\d+\.0\/30 is part of 172\.16\.\d+\.0\/24/);
    await lab.exec(['ip', 'route', 'delete', 'blackhole', `172.16.${web.slot}.0/24`]);
    await lab.exec(['mv', `/var/lib/vmsan/vms/${web.id}/disk.raw`, '/root/disk'], { check: true });
    assert.equal((await lab.vmsan(['start', 'web'])).exitCode, 1);
    assert.equal((await now()).state, 'stopped');
    assert.equal(await withoutItsRecord(), clean);
    await lab.exec(['mv', '/root/disk', `/var/lib/vmsan/vms/${web.id}/disk.raw`], { check: true });
    await lab.vmsan(['start', 'web'], { check: true });
  });

  test('several at a time; each target is judged, and nothing is left after rm', async () => {
    await lab.vmsan(['create', '--name', 'two', '--memory', '256m'], { check: true });
    const stopped = await lab.vmsan(['stop', 'web', 'none', 'two']);
    assert.equal(stopped.exitCode, 3);
    assert.deepEqual(stopped.stdout.trim().split('\n').toSorted(), ['two', 'web']);
    assert.match(stopped.stderr, /there is no VM "none"/);
    const started = await lab.vmsan(['start', 'two', 'web']);
    assert.equal(started.stdout, 'two\nweb\n');
    await lab.vmsan(['rm', '--force', 'two', 'web'], { check: true });
    assert.equal(await hostState(lab), clean);
  });
});
