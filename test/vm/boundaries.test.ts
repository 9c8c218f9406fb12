import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { VmJson } from '../../src/cli/print/vm.ts';
import { Lab, type Mark } from '../lab/lab.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { atEachBoundary, startDoomed, stateOf } from './boundaries.ts';
import { hostState } from './host-state.ts';

/** Under deny-all, with little memory so that it boots fast. */
const CREATE = ['create', '--name', 'web', '--memory', '128m', '--network-policy', 'deny-all'];

describe('kill -9 of the daemon at every boundary of every operation', () => {
  let lab: Lab;
  let clean: string;
  let mark: Mark;

  before(async () => {
    lab = await Lab.start();
    await lab.vmsan(['daemon', 'start'], { check: true });
    clean = await hostState(lab);
    mark = await lab.mark();
  });
  after(async () => {
    await lab?.stop();
  });

  const find = async () => (await lab.vmsanJson<VmJson[]>(['list']))[0];
  const remove = () => lab.vmsan(['rm', '--force', 'web'], { check: true });
  /** A guest that keeps trying to get out, whatever happens around it. */
  const babble = async () => {
    const script = `(while :; do
      ping -c1 -W1 ${world.website.address}; curl -m1 http://${world.website.address}/
      dig +tries=1 +time=1 @${world.otherResolver.address} ${world.website.name}
    done) >/dev/null 2>&1 &`;
    await lab.vmsan(['exec', 'web', 'sh', '-c', script], { check: true });
  };
  const nothingWasOpen = async () => assert.deepEqual(await lab.arrivals(mark), []);
  const nothingIsLeft = async () => {
    assert.equal(await find(), undefined);
    assert.equal(await hostState(lab), clean);
    await nothingWasOpen();
  };
  const onlyRecordAndDisk = async (id: string) => {
    const state = (await hostState(lab))
      .replace(`${id}\n`, '')
      .replace(/^netns\n/m, '')
      .replace(/^tmpfs \/run\/netns .*\n/m, '');
    assert.equal(state, clean);
    await nothingWasOpen();
  };
  const itIsWhole = async () => {
    assert.equal((await lab.vmsan(['exec', 'web', 'true'])).exitCode, 0);
    const { stdout } = await lab.exec(['ip', 'netns']);
    assert.equal(stdout.trim().split('\n').length, 1);
    await nothingWasOpen();
  };
  /** The VM is stopped or runs whole, whichever its record says. */
  const asItsRecordSays = async () => {
    const vm = await find();
    assert.ok(vm?.state === 'stopped' || vm?.state === 'running', vm?.state);
    if (vm.state === 'running') await itIsWhole();
    else await onlyRecordAndDisk(vm.id);
    return vm.state;
  };

  test('create', async () => {
    const boundaries = await atEachBoundary(lab, 'create', {
      act: () => lab.vmsan(CREATE),
      async check() {
        const vm = await find();
        if (vm === undefined) return await nothingIsLeft();
        assert.equal(vm.state, 'running');
        await itIsWhole();
        await remove();
        await nothingIsLeft();
      },
    });
    assert.ok(boundaries >= 10, `${boundaries} boundaries`);
    await remove();
  });

  test('a create that fails, while it is undone', async () => {
    const boundaries = await atEachBoundary(lab, 'undo create', {
      act: () => lab.vmsan([...CREATE, '--memory', '1024g']),
      check: nothingIsLeft,
    });
    assert.ok(boundaries >= 6, `${boundaries} boundaries`);
    await nothingIsLeft();
  });

  test('start, and a start that fails, while it is undone', async () => {
    await lab.vmsan(CREATE, { check: true });
    const { id } = (await find())!;
    await lab.vmsan(['stop', '-t', '0', 'web'], { check: true });
    const boundaries = await atEachBoundary(lab, 'start', {
      act: () => lab.vmsan(['start', 'web']),
      async check() {
        if ((await asItsRecordSays()) === 'running') await lab.vmsan(['stop', '-t', '0', 'web']);
      },
    });
    assert.ok(boundaries >= 9, `${boundaries} boundaries`);
    await lab.vmsan(['stop', '-t', '0', 'web'], { check: true });
    const disk = `/var/lib/vmsan/vms/${id}/disk.raw`;
    await lab.exec(['mv', disk, '/root/disk'], { check: true });
    const undone = await atEachBoundary(lab, 'undo start', {
      act: () => lab.vmsan(['start', 'web']),
      async check() {
        assert.equal(await asItsRecordSays(), 'stopped');
      },
    });
    assert.ok(undone >= 5, `${undone} boundaries`);
    await lab.exec(['mv', '/root/disk', disk], { check: true });
    await remove();
    await nothingIsLeft();
  });

  test('stop', async () => {
    await lab.vmsan(CREATE, { check: true });
    await babble();
    const boundaries = await atEachBoundary(lab, 'stop', {
      act: () => lab.vmsan(['stop', '-t', '1', 'web']),
      async check() {
        if ((await asItsRecordSays()) === 'running') return;
        await lab.vmsan(['start', 'web'], { check: true });
        await babble();
      },
    });
    assert.ok(boundaries >= 9, `${boundaries} boundaries`);
  });

  test('clean-up after an end that nobody asked for', async () => {
    if ((await find()) === undefined) await lab.vmsan(CREATE, { check: true });
    const boundaries = await atEachBoundary(lab, 'clean up', {
      async act() {
        await lab.vmsan(['start', 'web'], { check: true });
        await babble();
        const pid = (await find())!.pid!;
        await lab.exec(['kill', '-9', String(pid)], { check: true });
        await until('it is stopped, or the daemon has died', async () =>
          ['VM_STATE_STOPPED', 'no daemon'].includes(await stateOf(lab, 'web')),
        );
      },
      async check() {
        assert.equal(await asItsRecordSays(), 'stopped');
      },
    });
    assert.ok(boundaries >= 8, `${boundaries} boundaries`);
  });

  test('remove', async () => {
    const boundaries = await atEachBoundary(lab, 'remove', {
      async act() {
        if ((await find()) === undefined) await lab.vmsan(CREATE, { check: true });
        await lab.vmsan(['start', 'web'], { check: true });
        await babble();
        await remove().catch(() => {});
      },
      async check(stepsDone) {
        if (stepsDone > 0) return await nothingIsLeft();
        // Its machine was killed; the record did not yet say that it goes.
        assert.equal(await asItsRecordSays(), 'stopped');
      },
    });
    assert.ok(boundaries >= 8, `${boundaries} boundaries`);
    await nothingIsLeft();
  });

  test('a daemon that dies again while it mends what the one before left', async () => {
    for (const mending of ['remove', 'mend']) {
      for (let stepsDone = 0; ; stepsDone += 1) {
        const [point, act] =
          mending === 'remove'
            ? ['create:7', () => lab.vmsan(CREATE)]
            : ['start:6', () => lab.vmsan(['start', 'web'])];
        await startDoomed(lab, point);
        await act();
        if (await startDoomed(lab, `${mending}:${stepsDone}`)) break;
        if (mending === 'remove') await nothingIsLeft();
        else assert.equal(await asItsRecordSays(), 'stopped');
      }
      await nothingWasOpen();
      if (mending === 'remove') {
        await lab.vmsan(CREATE, { check: true });
        await lab.vmsan(['stop', '-t', '0', 'web'], { check: true });
      }
    }
    await remove();
    await nothingIsLeft();
  });

  test('network: what the record says is what the kernel does', async () => {
    await lab.vmsan([...CREATE, '--network-policy', 'allow-all'], { check: true });
    const lookUp = async () => {
      const argv = ['dig', '+short', '+tries=1', '+time=2', world.website.name];
      return (await lab.vmsan(['exec', 'web', ...argv])).stdout;
    };
    const boundaries = await atEachBoundary(lab, 'network', {
      act: () => lab.vmsan(['network', 'web', '--network-policy', 'deny-all']),
      async check(stepsDone) {
        const { network, state } = (await find())!;
        assert.equal(state, 'running');
        assert.equal(network.policy, stepsDone === 0 ? 'allow-all' : 'deny-all');
        mark = await lab.mark();
        assert.equal(await lookUp(), stepsDone === 0 ? `${world.website.address}\n` : '');
        if (stepsDone === 0) return;
        const ping = ['ping', '-c1', '-W1', world.website.address];
        assert.notEqual((await lab.vmsan(['exec', 'web', ...ping])).exitCode, 0);
        await nothingWasOpen();
        await lab.vmsan(['network', 'web', '--network-policy', 'allow-all'], { check: true });
      },
    });
    assert.ok(boundaries >= 4, `${boundaries} boundaries`);
    mark = await lab.mark();
    await remove();
    await nothingIsLeft();
  });
});
