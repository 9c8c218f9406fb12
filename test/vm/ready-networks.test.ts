import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { VmJson } from '../../src/cli/print/vm.ts';
import { Lab } from '../lab/lab.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { hostState } from './host-state.ts';

const WANTED = 2;
const env = { VMSAN_READY_NETWORKS: String(WANTED) };

describe('networks made ahead', () => {
  let lab: Lab;
  let clean: string;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    await lab.vmsan(['daemon', 'start'], { env, check: true });
    clean = await hostState(lab);
    await lab.vmsan(['create', '--name', 'first'], { env, check: true });
  });
  after(async () => {
    await lab?.stop();
  });

  const namespaces = async () =>
    (await lab.exec(['ls', '/run/netns'], { check: true })).stdout.trim().split('\n');
  const reach = (vm: string, url: string) =>
    lab.vmsan(['exec', vm, 'curl', '-sS', '-m', '10', '-o', '/dev/null', url], { env });

  test('wait under deny-all, and the next VM gets one and its own policy', async () => {
    await until('they are made', async () => (await namespaces()).length === 1 + WANTED);
    const ahead = await namespaces();
    const vm = await lab.vmsanJson<VmJson>(
      ['create', '--name', 'second', '--allowed-domain', world.allowed.name],
      { env },
    );
    assert.ok(ahead.includes(vm.netns ?? ''), `${vm.netns} was there before`);
    assert.equal((await reach('second', `http://${world.allowed.name}/`)).exitCode, 0);
    assert.notEqual((await reach('second', `http://${world.website.address}:8080/`)).exitCode, 0);
    assert.equal((await reach('first', `http://${world.website.name}/`)).exitCode, 0);
  });

  test('a VM that is refused takes none', async () => {
    await until('they are made', async () => (await namespaces()).length === 2 + WANTED);
    const before = await namespaces();
    const refused = await lab.vmsan(['create', '--name', 'second'], { env });
    assert.equal(refused.exitCode, 1);
    assert.deepEqual(await namespaces(), before);
  });

  test('a daemon that dies leaves none of them behind for the next', async () => {
    const { pid } = await lab.vmsanJson<{ pid: number }>(['daemon', 'status'], { env });
    await lab.exec(['kill', '-9', String(pid)], { check: true });
    await until('the next daemon answers', async () => {
      const { exitCode } = await lab.vmsan(['exec', 'second', 'true'], { env });
      return exitCode === 0;
    });
    await until('they are made anew', async () => (await namespaces()).length === 2 + WANTED);
    assert.equal((await reach('second', `http://${world.allowed.name}/`)).exitCode, 0);
  });

  test('go with the last VM', async () => {
    await lab.vmsan(['rm', '--force', 'first', 'second'], { env, check: true });
    assert.equal(await hostState(lab), clean);
  });
});
