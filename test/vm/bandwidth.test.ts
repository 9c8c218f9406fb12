import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { VmUsage } from '../../src/api/usage.ts';
import type { NetworkJson, VmJson } from '../../src/cli/print/vm.ts';
import { Lab } from '../lab/lab.ts';
import * as world from '../lab/world.ts';

const METRICS = '127.0.0.1:9464';

let lab: Lab;
let web: VmJson & { netns: string };
before(async () => {
  lab = await Lab.start();
  await lab.assertNoWayOut();
  await lab.exec(['mkdir', '-p', '/etc/vmsan'], { check: true });
  const config = JSON.stringify({ metrics: METRICS });
  await lab.exec(['tee', '/etc/vmsan/config.json'], { stdin: config, check: true });
  web = await lab.vmsanJson<typeof web>(['create', '--name', 'web', '--bandwidth', '50mbit']);
});
after(() => lab?.stop());

/** Bits a second of a link of the VM's netns; null without a limit. */
async function rate(link: string): Promise<number | null> {
  const argv = ['tc', '-netns', web.netns, '-j', 'qdisc', 'show', 'dev', link, 'root'];
  const { stdout } = await lab.exec(argv, { check: true });
  const [discipline] = JSON.parse(stdout) as { kind: string; options: { rate: number } }[];
  return discipline?.kind === 'tbf' ? discipline.options.rate * 8 : null;
}
const rates = async () => ({ out: await rate('up0'), in: await rate('tap0') });

interface Shown {
  network: NetworkJson;
  counters: Pick<VmUsage, 'sentBytes' | 'receivedBytes' | 'drops'>;
}

test('--bandwidth limits what leaves; the VM works, and what it sent is counted', async () => {
  assert.deepEqual(web.network.bandwidth, { out: 50_000_000, in: null });
  assert.deepEqual(await rates(), web.network.bandwidth);
  const before = await lab.vmsanJson<Shown>(['network', 'web']);
  const upload = `head -c 1000000 /dev/zero | nc -N ${world.website.address} ${world.ports.echo} | wc -c`;
  const { stdout } = await lab.vmsan(['exec', 'web', 'sh', '-c', upload]);
  assert.equal(stdout.trim(), '1000000');
  const { counters } = await lab.vmsanJson<Shown>(['network', 'web']);
  assert.ok(counters.sentBytes - before.counters.sentBytes > 1_000_000);
  assert.ok(counters.receivedBytes - before.counters.receivedBytes > 1_000_000);
  assert.deepEqual(
    counters.drops.map(({ reason }) => reason).filter((reason) => reason.startsWith('bandwidth')),
    ['bandwidth-out'],
  );
});

test('limits change while it runs, only when they are named, and a policy only when it is', async () => {
  await lab.vmsan(['network', 'web', '--bandwidth-in', '20mbit'], { check: true });
  assert.deepEqual(await rates(), { out: 50_000_000, in: 20_000_000 });
  await lab.vmsan(['network', 'web', '--network-policy', 'deny-all'], { check: true });
  assert.deepEqual(await rates(), { out: 50_000_000, in: 20_000_000 });
  const { stdout } = await lab.vmsan(['network', 'web', '--bandwidth', '5mbit'], { check: true });
  assert.match(stdout, /^web: bandwidth out: 50mbit -> 5mbit \(in force after \d+\.\d ms\)\n$/);
  await lab.vmsan(['exec', 'web', 'ping', '-c3', '-i0.2', '-W1', world.website.address]);
  await lab.vmsan(['network', 'web', '--network-policy', 'deny-all'], { check: true });
  const { network, counters } = await lab.vmsanJson<Shown>(['network', 'web']);
  const refused = counters.drops.find(({ reason }) => reason === 'policy')?.packets ?? 0;
  assert.ok(refused >= 3, `${refused} refused, and counted across a change of policy`);
  assert.partialDeepStrictEqual(network, { policy: 'deny-all', generation: 3 });
});

test('a daemon that starts sets them again, whatever is there', async () => {
  await lab.vmsan(['daemon', 'stop'], { check: true });
  const argv = ['tc', '-netns', web.netns, 'qdisc', 'delete', 'dev', 'up0', 'root'];
  await lab.exec(argv, { check: true });
  await lab.vmsan(['list'], { check: true });
  assert.deepEqual(await rates(), { out: 5_000_000, in: 20_000_000 });
});

test('metrics are served on the loopback, to those who ask for them', async () => {
  const { stdout } = await lab.exec(['curl', '-sS', `http://${METRICS}/metrics`], { check: true });
  assert.match(stdout, new RegExp(`^vmsan_vm_up\\{id="${web.id}",name="web"\\} 1$`, 'm'));
  assert.match(stdout, /^vmsan_vm_dropped_packets_total\{.*reason="bandwidth-in"\} \d+$/m);
  assert.equal((await lab.exec(['curl', '-fsS', `http://${METRICS}/`])).exitCode, 22);
  const outside = ['curl', '-sS', '-m', '2', `http://${world.host.address}:9464/metrics`];
  assert.notEqual((await lab.internetExec(outside)).exitCode, 0);
});

test('stopped and started they hold; none takes them away', async () => {
  await lab.vmsan(['stop', '-t', '0', 'web'], { check: true });
  await lab.vmsan(['network', 'web', '--bandwidth-in', 'none'], { check: true });
  await lab.vmsan(['start', 'web'], { check: true });
  assert.deepEqual(await rates(), { out: 5_000_000, in: null });
  await lab.vmsan(['network', 'web', '--bandwidth', 'none'], { check: true });
  assert.deepEqual(await rates(), { out: null, in: null });
});
