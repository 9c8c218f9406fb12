import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { VmJson } from '../../src/cli/print/vm.ts';
import { Lab } from '../lab/lab.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { hostState } from './host-state.ts';

const { allowed, denied, shared } = world;
const { lines } = world.ports;
const STRAY = 'vm-0000dead';
const CA = '/root/lab-ca.pem';
const RULES = `${allowed.name},${allowed.name}:${lines}`;

describe('a real VM without a network namespace', () => {
  let lab: Lab;
  let vm: VmJson;
  let warning: string;
  let hostBefore: string;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    await lab.vmsan(['list'], { check: true });
    hostBefore = await hostState(lab);
    const flags = ['--no-netns', '--allowed-domain', RULES, '--json'];
    const [created] = await Promise.all([
      lab.vmsan(['create', '--name', 'bare', ...flags], { check: true }),
      lab.vmsan(['create', '--name', 'other'], { check: true }),
    ]);
    vm = JSON.parse(created.stdout) as VmJson;
    warning = created.stderr;
    const stdin = readFileSync(lab.caFile, 'utf8');
    await lab.vmsan(['exec', '-i', 'bare', 'tee', CA], { stdin, check: true });
  });
  after(async () => {
    await lab?.stop();
  });

  const curl = (...argv: string[]) =>
    lab.vmsan(['exec', 'bare', 'curl', '-sS', '--cacert', CA, '-m', '10', ...argv]);
  const works = async () => (await curl(`https://${allowed.name}/`)).exitCode === 0;

  test('create says why that is weaker; its rules are in the host’s namespace', async () => {
    assert.match(
      warning,
      /without a network namespace of its own, this VM’s rules share the host’s/,
    );
    assert.equal(vm.netns, null);
    const { stdout } = await lab.exec(['sh', '-c', 'ip netns; nft list tables'], { check: true });
    assert.ok(
      !stdout.includes(`vmsan-${vm.id} `) && stdout.includes(`inet vmsan-${vm.id}`),
      stdout,
    );
  });

  test('two names on one address are told apart, by HTTPS, HTTP and on a port of its rule', async () => {
    for (const scheme of ['https', 'http']) {
      assert.equal((await curl(`${scheme}://${allowed.name}/`)).exitCode, 0);
    }
    const mark = await lab.mark();
    const pinned = ['--resolve', `${denied.name}:443:${shared.address}`];
    assert.equal((await curl(`https://${denied.name}/`)).exitCode, 6);
    assert.notEqual((await curl(...pinned, `https://${denied.name}/`)).exitCode, 0);
    const contacts = (await lab.log(mark)).filter(({ sni, host }) =>
      [sni, host].includes(denied.name),
    );
    assert.deepEqual(contacts, []);
    const line = `exec 3<>/dev/tcp/${allowed.name}/${lines} && read hello <&3 && echo hi >&3 && head -1 <&3`;
    const said = await lab.vmsan(['exec', 'bare', 'timeout', '20', 'bash', '-c', line]);
    assert.equal(said.stdout, 'you said: hi\n', said.stderr);
  });

  test('policies change live, with a receipt; neither kind of VM reaches the other', async () => {
    const wide = await lab.vmsanJson<{ after: { policy: string } }>([
      ...['network', 'bare', '--network-policy', 'allow-all'],
    ]);
    assert.equal(wide.after.policy, 'allow-all');
    assert.equal((await curl(`http://${world.website.address}/`)).exitCode, 0);
    const [other] = await lab.vmsanJson<VmJson[]>(['inspect', 'other']);
    assert.equal((await curl(`http://${other!.guestIp}/`)).exitCode, 7);
    const back = ['exec', 'other', 'curl', '-sS', '-m', '10', `http://${vm.guestIp}/`];
    assert.equal((await lab.vmsan(back)).exitCode, 7);
    await lab.vmsan(['network', 'bare', '--network-policy', 'deny-all'], { check: true });
    const mark = await lab.mark();
    assert.equal((await curl(`http://${world.website.address}/`)).exitCode, 7);
    assert.deepEqual(await lab.arrivals(mark), []);
    await lab.vmsan(['network', 'bare', '--network-policy', 'custom', '--allowed-domain', RULES], {
      check: true,
    });
    assert.ok(await works());
  });

  test('what it sends cannot be limited, nor ports be published, and that is said; what it receives can be limited', async () => {
    const out = await lab.vmsan(['network', 'bare', '--bandwidth', '1mbit']);
    assert.equal(out.exitCode, 2);
    assert.match(out.stderr, /without a network namespace, what a VM sends cannot be limited/);
    const port = await lab.vmsan(['network', 'bare', '--publish-port', '8080']);
    assert.equal(port.exitCode, 2);
    assert.match(port.stderr, /without a network namespace, a VM cannot publish ports/);
    await lab.vmsan(['network', 'bare', '--bandwidth-in', '50mbit'], { check: true });
    const { stdout } = await lab.exec(['tc', 'qdisc', 'show', 'dev', vm.id], { check: true });
    assert.match(stdout, /tbf .* rate 50Mbit/);
  });

  test('somebody flushes all rules: they are put back, and that is told', async () => {
    await lab.exec(['nft', 'flush', 'ruleset'], { check: true });
    await until('it works again', works, { deadlineMs: 30_000 });
    await until('it is told', async () => {
      const { stdout } = await lab.vmsan(['events'], { check: true });
      return /rules .*put back/.test(stdout);
    });
    const mark = await lab.mark();
    assert.notEqual((await curl('--fail', `http://${world.website.address}/`)).exitCode, 0);
    assert.equal(await lab.packetsTo(world.website.address, { since: mark }), 0);
  });

  test('the next daemon takes it up, with rules and processor; stop and start keep its kind', async () => {
    // What a VM without a record left behind.
    const stray = `nft add table inet vmsan-${STRAY}; ip tuntap add ${STRAY} mode tap
      ip rule add preference 0 iif ${STRAY} fwmark 0/0x10000000 blackhole`;
    await lab.exec(['sh', '-ec', stray], { check: true });
    const { pid } = await lab.vmsanJson<{ pid: number }>(['daemon', 'status']);
    await lab.exec(['kill', '-9', String(pid)], { check: true });
    await lab.exec(['nft', 'delete', 'table', 'inet', 'vmsan'], { check: true });
    await lab.exec(['nft', 'delete', 'table', 'inet', `vmsan-${vm.id}`], { check: true });
    assert.ok(await works());
    await lab.vmsan(['stop', 'bare'], { check: true });
    const { stdout } = await lab.exec(['sh', '-c', 'ip rule; ip -o link; nft list tables']);
    assert.ok(!stdout.includes(vm.id) && !stdout.includes(STRAY), stdout);
    await lab.vmsan(['start', 'bare'], { check: true });
    assert.ok(await works());
    assert.equal((await lab.vmsanJson<VmJson[]>(['inspect', 'bare']))[0]?.netns, null);
  });

  test('rm leaves nothing', async () => {
    await lab.vmsan(['rm', '--force', 'bare', 'other'], { check: true });
    assert.equal(await hostState(lab), hostBefore);
  });
});
