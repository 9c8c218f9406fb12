import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { DoomedLab } from './boundaries.ts';

/** Three labs at a time: a boot keeps a core busy, and nothing of one is another's. */
describe('kill -9 of the daemon at every boundary of every operation', { concurrency: 3 }, () => {
  describe('of create and start', { concurrency: 1 }, () => {
    let site: DoomedLab;
    before(async () => {
      site = await DoomedLab.start();
    });
    after(async () => {
      await site?.[Symbol.asyncDispose]();
    });

    test('create', async () => {
      const boundaries = await site.atEachBoundary('create', {
        act: () => site.create(),
        async check() {
          const vm = await site.find();
          if (vm === undefined) return await site.hostIsClean();
          assert.equal(vm.state, 'running');
          await site.isWhole();
          await site.vmsan(['rm', '--force', 'web'], { check: true });
          await site.nothingIsLeft();
        },
      });
      assert.ok(boundaries >= 10, `${boundaries} boundaries`);
      await site.vmsan(['rm', '--force', 'web'], { check: true });
      await site.nothingIsLeft();
    });

    test('a create that fails, while it is undone', async () => {
      const boundaries = await site.atEachBoundary('undo create', {
        act: () => site.inVain(site.create()),
        check: () => site.nothingIsLeft(),
      });
      assert.ok(boundaries >= 8, `${boundaries} boundaries`);
      await site.nothingIsLeft();
    });

    test('start', async () => {
      await site.stopped();
      const boundaries = await site.atEachBoundary('start', {
        act: () => site.start(),
        async check() {
          if ((await site.isAsItsRecordSays()) === 'running') await site.stopped();
        },
      });
      assert.ok(boundaries >= 9, `${boundaries} boundaries`);
    });

    test('a start that fails, while it is undone', async () => {
      await site.stopped();
      const boundaries = await site.atEachBoundary('undo start', {
        act: () => site.inVain(site.start()),
        async check() {
          assert.equal(await site.isAsItsRecordSays(), 'stopped');
        },
      });
      assert.ok(boundaries >= 8, `${boundaries} boundaries`);
      await site.vmsan(['rm', 'web'], { check: true });
      await site.nothingIsLeft();
    });
  });

  describe('of stop and of clean-up', { concurrency: 1 }, () => {
    let site: DoomedLab;
    before(async () => {
      site = await DoomedLab.start();
    });
    after(async () => {
      await site?.[Symbol.asyncDispose]();
    });

    test('stop', async () => {
      await site.running();
      const boundaries = await site.atEachBoundary('stop', {
        act: () => site.vmsan(['stop', '-t', '1', 'web']),
        async check() {
          if ((await site.isAsItsRecordSays()) === 'stopped') await site.running();
        },
      });
      assert.ok(boundaries >= 9, `${boundaries} boundaries`);
    });

    test('clean-up after an end that nobody asked for', async () => {
      const boundaries = await site.atEachBoundary('clean up', {
        async act() {
          const { pid } = await site.running();
          await site.lab.exec(['kill', '-9', String(pid)], { check: true });
          await until(
            'it is stopped, or the daemon has died',
            async () =>
              site.pointsLeft() === 0 || (await site.stateOf('web')) === 'VM_STATE_STOPPED',
          );
        },
        async check() {
          assert.equal(await site.isAsItsRecordSays(), 'stopped');
        },
      });
      assert.ok(boundaries >= 8, `${boundaries} boundaries`);
    });
  });

  describe('of remove, network and mending', { concurrency: 1 }, () => {
    let site: DoomedLab;
    before(async () => {
      site = await DoomedLab.start();
    });
    after(async () => {
      await site?.[Symbol.asyncDispose]();
    });

    /** A daemon that dies again while it mends what the one before left. */
    const dyingTwice = async (
      first: string,
      second: string,
      options: { act: () => Promise<unknown>; check: () => Promise<void> },
    ) => {
      for (let stepsDone = 0; ; stepsDone += 1) {
        site.doomAt(first, `${second}:${stepsDone}`);
        await options.act();
        assert.equal(site.pointsLeft(), 1);
        await site.daemonDied();
        if ((await site.vmsan(['daemon', 'start'])).exitCode === 0) return stepsDone;
        assert.equal(site.pointsLeft(), 0);
        await options.check();
      }
    };

    test('a daemon that dies again while it removes what is half made', async () => {
      const boundaries = await dyingTwice('create:9', 'remove', {
        act: () => site.create(),
        check: () => site.nothingIsLeft(),
      });
      assert.ok(boundaries >= 8, `${boundaries} boundaries`);
      site.spare();
      await site.nothingIsLeft();
    });

    test('a daemon that dies again while it mends what was starting', async () => {
      await site.stopped();
      const boundaries = await dyingTwice('start:8', 'mend', {
        act: () => site.start(),
        async check() {
          assert.equal(await site.isAsItsRecordSays(), 'stopped');
        },
      });
      assert.ok(boundaries >= 8, `${boundaries} boundaries`);
      site.spare();
      await site.vmsan(['rm', 'web'], { check: true });
      await site.nothingIsLeft();
    });

    test('remove', async () => {
      const boundaries = await site.atEachBoundary('remove', {
        async act() {
          await site.running();
          await site.vmsan(['rm', '--force', 'web']);
        },
        async check(stepsDone) {
          if (stepsDone > 0) return await site.nothingIsLeft();
          // Its machine was killed; the record did not yet say that it goes.
          assert.equal(await site.isAsItsRecordSays(), 'stopped');
        },
      });
      assert.ok(boundaries >= 8, `${boundaries} boundaries`);
      await site.nothingIsLeft();
    });

    test('network: what the record says is what the kernel does', async () => {
      const start = await site.lab.mark();
      const open = ['--network-policy', 'custom', '--denied-cidr', 'private'];
      await site.vmsan(['create', '--name', 'web', '--memory', '128m', ...open], { check: true });
      const inside = (...argv: string[]) => site.vmsan(['exec', 'web', ...argv]);
      const lookUp = async () => {
        const argv = ['dig', '+short', '+tries=1', '+time=20', world.website.name];
        return (await inside(...argv)).stdout;
      };
      const boundaries = await site.atEachBoundary('network', {
        act: () => site.vmsan(['network', 'web', '--network-policy', 'deny-all']),
        async check(stepsDone) {
          const { network, state } = (await site.find())!;
          assert.equal(state, 'running');
          assert.equal(network.policy, stepsDone === 0 ? 'custom' : 'deny-all');
          await site.shut();
          assert.equal(await lookUp(), stepsDone === 0 ? `${world.website.address}\n` : '');
          if (stepsDone === 0) return;
          const ping = await inside('ping', '-c1', '-W1', world.website.address);
          assert.notEqual(ping.exitCode, 0);
          await site.nothingWasOpen();
          await site.vmsan(['network', 'web', ...open], { check: true });
        },
      });
      assert.ok(boundaries >= 4, `${boundaries} boundaries`);
      assert.ok((await site.lab.packetsTo(world.website.address, { since: start })) > 0);
      // Under both policies.
      assert.equal(await site.lab.packetsTo(world.lan.address, { since: start }), 0);
      await site.shut();
      await site.vmsan(['rm', '--force', 'web'], { check: true });
      await site.nothingIsLeft();
    });
  });
});
