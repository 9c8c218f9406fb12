import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { VmJson } from '../../src/cli/print/vm.ts';
import { Lab } from '../lab/lab.ts';

interface CheckJson {
  name: string;
  status: string;
  detail: string;
}

describe('the accelerator', () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.start();
  });
  after(async () => {
    await lab?.stop();
  });

  const create = (env: Record<string, string>) => lab.vmsan(['create', '--json'], { env });
  const stop = (env: Record<string, string>) =>
    lab.vmsan(['daemon', 'stop', '--purge'], { env, check: true });

  test('by itself vmsan uses what works, and says so once when that is not KVM', async () => {
    const first = await create({});
    const second = await create({});
    const { accelerator } = JSON.parse(first.stdout) as VmJson;
    const checks = await lab.vmsanJson<CheckJson[]>(['doctor']);
    const finding = checks.find(({ name }) => name === 'accelerator')?.detail ?? '';
    if (accelerator === 'kvm') {
      assert.match(finding, /^KVM/);
    } else {
      assert.match(finding, /^software emulation: /);
      assert.match(first.stderr, /KVM does not work here \(.+\): VMs run under software emulation/);
    }
    assert.equal(second.stderr, '');
    await stop({});
  });

  test('VMSAN_ACCEL=tcg is software emulation without a word', async () => {
    const env = { VMSAN_ACCEL: 'tcg' };
    const { stdout, stderr } = await create(env);
    assert.equal((JSON.parse(stdout) as VmJson).accelerator, 'tcg');
    assert.doesNotMatch(stderr, /KVM/);
    await stop(env);
  });

  test('VMSAN_ACCEL=kvm is KVM, or an error that says why not; then nothing is left', async () => {
    const env = { VMSAN_ACCEL: 'kvm' };
    const { exitCode, stdout, stderr } = await create(env);
    if (exitCode === 0) {
      assert.equal((JSON.parse(stdout) as VmJson).accelerator, 'kvm');
    } else {
      assert.equal(exitCode, 1);
      const { error } = JSON.parse(stderr) as { error: { message: string; hint: string } };
      assert.match(error.message, /^VMSAN_ACCEL=kvm, but a guest did not boot under KVM: ./);
      assert.match(error.hint, /VMSAN_ACCEL=tcg/);
      assert.deepEqual(await lab.vmsanJson(['list'], { env }), []);
      assert.equal(
        (await lab.exec(['sh', '-c', 'pgrep qemu; ls /run/vmsan/proof 2>&-'])).stdout,
        '',
      );
    }
    await stop(env);
  });
});
