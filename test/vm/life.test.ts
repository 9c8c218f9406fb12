import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { VmJson } from '../../src/cli/print/vm.ts';
import type { ExecResult } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { until } from '../lab/until.ts';
import { hostState } from './host-state.ts';

describe('a VM from create to rm, with default settings', () => {
  let lab: Lab;
  let clean: string;
  let first: ExecResult;
  let web: VmJson;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    await lab.vmsan(['daemon', 'start'], { check: true });
    clean = await hostState(lab);
    first = await lab.vmsan(['create', '--name', 'web', '--json'], { check: true });
    web = JSON.parse(first.stdout) as VmJson;
  });
  after(async () => {
    await lab?.stop();
  });

  const state = async (name: string) => {
    const vms = await lab.vmsanJson<VmJson[]>(['list']);
    return vms.find((vm) => vm.name === name)?.state;
  };

  test('create --json tells all there is to know', async () => {
    assert.match(web.id, /^vm-[0-9a-f]{8}$/);
    assert.equal(web.name, 'web');
    assert.equal(web.state, 'running');
    assert.equal(web.guestIp, `172.16.${web.slot}.2`);
    assert.equal(web.gatewayIp, `172.16.${web.slot}.1`);
    assert.partialDeepStrictEqual(web.network, { policy: 'allow-all', generation: 1 });
    assert.equal(web.vcpus, 1);
    assert.equal(web.memoryMib, 512);
    assert.equal(web.diskBytes, 10 * 2 ** 30);
    assert.deepEqual(await lab.vmsanJson(['list']), [web]);
  });

  test('what the user should know once is said once', async () => {
    const { stdout, stderr } = await lab.vmsan(['create', '--name', 'again'], { check: true });
    assert.match(stdout, /^vm-[0-9a-f]{8}\n$/);
    assert.equal(stderr, '', 'the first create said it all');
    assert.match(first.stderr, /allow-all lets a VM reach your own networks too/);
    await lab.vmsan(['rm', '--force', 'again'], { check: true });
  });

  test('the guest is what was asked for', async () => {
    const script = 'hostname; nproc; cat /sys/block/vdb/size; ip -br -4 addr show eth0';
    const { stdout } = await lab.vmsan(['exec', 'web', 'sh', '-c', script], { check: true });
    const [hostname, vcpus, sectors, address] = stdout.split('\n');
    assert.equal(hostname, 'web');
    assert.equal(vcpus, '1');
    assert.equal(Number(sectors) * 512, 10 * 2 ** 30);
    assert.match(address ?? '', new RegExp(`${web.guestIp}/30`));
  });

  test('its QEMU has a user of its own, no capability, no network and no file to read', async () => {
    const script = `cd /proc/${web.pid} && grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' status
      readlink ns/net; readlink /proc/1/ns/net
      nsenter --target ${web.pid} --net -- ip -br link`;
    const { stdout } = await lab.exec(['sh', '-c', script], { check: true });
    assert.match(stdout, /Uid:\s+19\d{8}\s/);
    assert.match(stdout, /CapEff:\s+0+\n/);
    assert.match(stdout, /CapBnd:\s+0+\n/);
    assert.match(stdout, /NoNewPrivs:\s+1/);
    assert.match(stdout, /Seccomp:\s+2/);
    const [own, host] = stdout.match(/net:\[\d+\]/g) ?? [];
    assert.notEqual(own, host);
    assert.match(stdout, /\nlo\s+DOWN[^\n]*\n$/, 'nothing but a loopback that is down');
  });

  test('its disk and sockets are nobody else’s', async () => {
    const files = `/var/lib/vmsan/vms/${web.id} /run/vmsan/vms/${web.id}`;
    const { stdout } = await lab.exec([
      'sh',
      '-c',
      `stat -c '%a %u' ${files} ${files.split(' ')[0]}/*`,
    ]);
    const [uid] = /19\d{8}/.exec(stdout) ?? [];
    assert.deepEqual(stdout.trim().split('\n'), ['700 0', '700 0', `600 ${uid}`]);
    const nobody = await lab.exec(['setpriv', '--reuid=65534', 'ls', '/run/vmsan/vms']);
    assert.notEqual(nobody.exitCode, 0);
  });

  test('names and ids are unique, prefixes are understood', async () => {
    const again = await lab.vmsan(['create', '--name', 'web']);
    assert.equal(again.exitCode, 1);
    assert.match(again.stderr, /^vmsan: the name "web" is taken by vm-[0-9a-f]{8}\nhint: /m);
    const [found] = await lab.vmsanJson<VmJson[]>(['inspect', web.id.slice(0, 6)]);
    assert.equal(found?.id, web.id);
    assert.equal((await lab.vmsan(['inspect', 'nobody'])).exitCode, 3);
  });

  test('a creation that fails leaves nothing', async () => {
    const unchanged = await hostState(lab);
    const { exitCode, stderr } = await lab.vmsan(['create', '--name', 'huge', '--memory', '1024g']);
    assert.equal(exitCode, 1);
    assert.match(stderr, /^vmsan: .*memory/m);
    assert.equal(await state('huge'), undefined);
    assert.equal(await hostState(lab), unchanged);
  });

  test('a VM that runs is removed only by force', async () => {
    const { exitCode, stderr } = await lab.vmsan(['rm', 'web']);
    assert.equal(exitCode, 1);
    assert.match(stderr, /web is running\nhint: vmsan rm --force web/);
    assert.equal(await state('web'), 'running');
  });

  test('a guest that powers itself off leaves a stopped VM', async () => {
    await lab.vmsan(['create', '--name', 'brief', '--memory', '256m'], { check: true });
    await lab.vmsan(['exec', 'brief', 'sh', '-c', 'echo o >/proc/sysrq-trigger']);
    await until('the VM is stopped', async () => (await state('brief')) === 'stopped', {
      deadlineMs: 30_000,
    });
    assert.equal((await lab.vmsan(['exec', 'brief', 'true'])).exitCode, 125);
    await lab.vmsan(['rm', 'brief'], { check: true });
    assert.equal(await state('brief'), undefined);
  });

  test('rm takes several, goes on after a failure, and leaves nothing', async () => {
    await lab.vmsan(['create', '--name', 'two', '--network-policy', 'deny-all'], { check: true });
    const { exitCode, stdout, stderr } = await lab.vmsan(['rm', '--force', 'web', 'none', 'two']);
    assert.equal(exitCode, 3);
    assert.equal(stdout, 'web\ntwo\n');
    assert.match(stderr, /there is no VM "none"/);
    assert.deepEqual(await lab.vmsanJson(['list']), []);
    assert.equal(await hostState(lab), clean);
  });

  test('daemon stop --purge takes the rest', async () => {
    await lab.vmsan(['daemon', 'stop', '--purge'], { check: true });
    const left = 'ls -d /run/vmsan* /var/lib/vmsan; pgrep -l "^(node|MainThread|qemu)"';
    assert.equal((await lab.exec(['sh', '-c', left])).stdout, '');
  });
});
