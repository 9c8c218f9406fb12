import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { VmJson } from '../../src/cli/print/vm.ts';
import { killGroup } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { TREE } from '../lab/paths.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { hostState } from './host-state.ts';

interface DaemonJson {
  pid: number;
  gatePid: number;
}

describe('when a process of vmsan dies', () => {
  let lab: Lab;
  let clean: string;
  let open: VmJson;
  let shut: VmJson;

  before(async () => {
    lab = await Lab.start();
    await lab.vmsan(['daemon', 'start'], { check: true });
    clean = await hostState(lab);
    const create = (name: string, policy: string) =>
      lab.vmsanJson<VmJson>(['create', '--name', name, '--network-policy', policy]);
    open = await create('open', 'allow-all');
    shut = await create('shut', 'deny-all');
  });
  after(async () => {
    await lab?.stop();
  });

  const status = () => lab.vmsanJson<DaemonJson>(['daemon', 'status']);
  const kill = async (pid: number) => {
    await lab.exec(['kill', '-9', String(pid)], { check: true });
    await until(`process ${pid} is gone`, async () => {
      const { stdout } = await lab.exec(['sh', '-c', `cat /proc/${pid}/stat 2>/dev/null || :`]);
      return stdout === '' || / Z /.test(stdout);
    });
  };
  const look = (vm: VmJson, name: string) =>
    lab.vmsan(['exec', vm.id, 'dig', '+short', '+tries=1', '+time=15', name]);

  test('kill -9 of the daemon: VMs run on, under their policies, and the next one takes them up', async () => {
    const { pid, gatePid } = await status();
    await kill(pid);
    const mark = await lab.mark();
    // The first command starts the next daemon.
    const { stdout } = await lab.vmsan(['exec', open.id, 'cat', '/proc/sys/kernel/random/boot_id']);
    assert.match(stdout, /^[0-9a-f-]{36}\n$/);
    assert.deepEqual(await lab.vmsanJson(['list']), [open, shut]);
    assert.deepEqual(await lab.arrivals(mark), []);
    const now = await status();
    assert.notEqual(now.pid, pid);
    assert.equal(now.gatePid, gatePid, 'the gate did not notice');
    assert.equal((await look(open, world.website.name)).stdout, `${world.website.address}\n`);
    await lab.vmsan(['network', shut.id, '--network-policy', 'allow-all'], { check: true });
    assert.equal((await look(shut, world.website.name)).stdout, `${world.website.address}\n`);
    await lab.vmsan(['network', shut.id, '--network-policy', 'deny-all'], { check: true });
  });

  test('kill -9 of the gate: names come back with the next one, nothing opens', async () => {
    const { gatePid } = await status();
    await kill(gatePid);
    await until('names resolve again', async () => {
      const { stdout } = await look(open, world.website.name);
      return stdout === `${world.website.address}\n`;
    });
    assert.notEqual((await status()).gatePid, gatePid);
    const mark = await lab.mark();
    assert.equal((await look(shut, world.website.name)).stdout, '');
    assert.deepEqual(await lab.arrivals(mark), []);
  });

  test('kill -9 of a QEMU: that VM is stopped, its network is gone, the others run', async () => {
    const [{ pid } = shut] = await lab.vmsanJson<VmJson[]>(['inspect', shut.id]);
    await kill(pid!);
    await until('it is stopped', async () => {
      const [now] = await lab.vmsanJson<VmJson[]>(['inspect', shut.id]);
      return now?.state === 'stopped';
    });
    await until('its netns is gone', async () => {
      const { stdout } = await lab.exec(['ip', 'netns']);
      return !stdout.includes(shut.netns!) && stdout.includes(open.netns!);
    });
    assert.equal((await lab.vmsan(['exec', open.id, 'true'])).exitCode, 0);
  });

  test('a VM whose daemon and QEMU both died is stopped for the next daemon', async () => {
    const { pid } = await status();
    await kill(pid);
    await kill(open.pid!);
    const [now] = await lab.vmsanJson<VmJson[]>(['inspect', open.id]);
    assert.equal(now?.state, 'stopped');
  });

  test('a daemon that dies while it creates: nothing of that VM is left', async () => {
    const creation = lab.spawn([`${TREE}/bin/vmsan`, 'create', '--name', 'half']);
    try {
      await until('its QEMU runs', async () => {
        const { stdout } = await lab.exec(['sh', '-c', 'pgrep -a qemu || :']);
        return stdout !== '';
      });
      await kill((await status()).pid);
    } finally {
      killGroup(creation);
    }
    const names = (await lab.vmsanJson<VmJson[]>(['list'])).map(({ name }) => name);
    assert.deepEqual(names, ['open', 'shut']);
    assert.equal((await lab.exec(['sh', '-c', 'pgrep -a qemu; ip netns'])).stdout, '');
  });

  test('what is left of all that goes with rm', async () => {
    await lab.vmsan(['rm', open.id, shut.id], { check: true });
    assert.equal(await hostState(lab), clean);
  });

  test('a netns of ours without a record goes when a daemon starts', async () => {
    await lab.exec(['ip', 'netns', 'add', 'vmsan-vm-0badcafe'], { check: true });
    await lab.exec(['ip', 'netns', 'add', 'somebody-elses'], { check: true });
    await kill((await status()).pid);
    await lab.vmsan(['list'], { check: true });
    assert.equal((await lab.exec(['ip', 'netns'])).stdout, 'somebody-elses\n');
  });
});
