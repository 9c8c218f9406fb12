import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Lab } from '../lab/lab.ts';
import { hostState } from './host-state.ts';

/** Room for one. */
const env = { VMSAN_SUBNET_POOL: '172.20.0.0/24' };
const FULL =
  /^vmsan: all 1 networks of 172\.20\.0\.0\/24 are in use\nhint: remove a VM, or set VMSAN_SUBNET_POOL to a larger network\n$/;

describe('when every network of the pool is in use', () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    await lab.vmsan(['daemon', 'start'], { env, check: true });
  });
  after(async () => {
    await lab?.stop();
  });

  const isRefused = async () => {
    const unchanged = await hostState(lab);
    const vms = await lab.vmsanJson(['list'], { env });
    const { exitCode, stdout, stderr } = await lab.vmsan(['create', '--name', 'more'], { env });
    assert.equal(exitCode, 1);
    assert.equal(stdout, '');
    assert.match(stderr, FULL);
    assert.deepEqual(await lab.vmsanJson(['list'], { env }), vms);
    assert.equal(await hostState(lab), unchanged);
  };

  test('create is one clear line, and changes nothing', async () => {
    await lab.vmsan(['create', '--name', 'only'], { env, check: true });
    await isRefused();
  });

  test('a network that the host routes counts as used; a removed VM’s is free again', async () => {
    await lab.vmsan(['rm', '--force', 'only'], { env, check: true });
    const route = ['ip', 'route', 'add', '172.20.0.0/16', 'via', '192.0.2.1'];
    await lab.exec(route, { check: true });
    await isRefused();
    await lab.exec(route.with(2, 'delete'), { check: true });
    await lab.vmsan(['create', '--name', 'again'], { env, check: true });
  });
});
