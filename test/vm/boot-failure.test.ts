import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { VmJson } from '../../src/cli/print/vm.ts';
import { Lab } from '../lab/lab.ts';

describe('a guest that does not boot', () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.start();
  });
  after(async () => {
    await lab?.stop();
  });

  test('says why: its console is quoted, and the log has what it had of the host', async () => {
    const flags = ['--name', 'web', '--memory', '256m', '--network-policy', 'deny-all'];
    const { id } = await lab.vmsanJson<VmJson>(['create', ...flags]);
    await lab.vmsan(['stop', '--time', '0', 'web'], { check: true });
    const disk = `/var/lib/vmsan/vms/${id}/disk.raw`;
    await lab.exec(['dd', 'if=/dev/zero', `of=${disk}`, 'bs=1M', 'count=4', 'conv=notrunc'], {
      check: true,
    });
    const { exitCode, stderr } = await lab.vmsan(['start', 'web']);
    assert.equal(exitCode, 1);
    assert.match(stderr, /^vmsan: the guest did not boot\n/);
    assert.match(stderr, /the machine ended before its agent answered/);
    assert.match(stderr, /vmsan-agent: mount ext4 on \/disk: /);
    const { stdout: log } = await lab.exec(['grep', 'trying again', '/run/vmsan/vmsand.log']);
    const told = JSON.parse(log) as Record<string, unknown>;
    assert.match(String(told['error']), /the machine ended/);
    assert.match(String(told['console']), /vmsan-agent: mount ext4 on \/disk: /);
    assert.ok(Number(told['seconds']) > 0 && Number(told['cpuSeconds']) > 0, log);
    const [now] = await lab.vmsanJson<VmJson[]>(['inspect', 'web']);
    assert.equal(now?.state, 'stopped');
  });
});
