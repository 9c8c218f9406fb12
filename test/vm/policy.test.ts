import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { NetworkJson, VmJson } from '../../src/cli/print/vm.ts';
import { Lab } from '../lab/lab.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';

interface Receipt {
  before: NetworkJson;
  after: NetworkJson;
  flowsClosed: number;
}

describe('policies by address, on a real VM', () => {
  let lab: Lab;
  let web: VmJson;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    web = await lab.vmsanJson<VmJson>(['create', '--name', 'web', '--denied-cidr', 'private']);
  });
  after(async () => {
    await lab?.stop();
  });

  const inside = (...argv: string[]) => lab.vmsan(['exec', 'web', ...argv]);
  /** curl's exit code: 0, 6 no such name, 7 refused. */
  const fetch = async (where: string) =>
    (await inside('curl', '-sS', '-m', '20', `http://${where}/`)).exitCode;
  const change = (...flags: string[]) => lab.vmsan(['network', 'web', ...flags]);

  test('--denied-cidr private: all but the user’s own networks; names resolve', async () => {
    assert.equal(web.network.policy, 'custom');
    assert.equal(web.network.default, 'allow');
    assert.equal(await fetch(world.website.name), 0);
    const mark = await lab.mark();
    for (const { address } of [world.lan, world.otherLan, world.carrierNat]) {
      assert.equal(await fetch(address), 7, address);
      assert.equal(await lab.packetsTo(address, { since: mark }), 0, address);
    }
  });

  test('--allowed-cidr: these alone, no name resolves, and it is said', async () => {
    const { stdout, stderr } = await change('--allowed-cidr', '10.0.0.0/8,198.51.100.10');
    assert.match(stdout, /custom \(default deny, allowed 10\.0\.0\.0\/8 198\.51\.100\.10\/32\)/);
    assert.match(stderr, /no name resolves/);
    assert.equal(await fetch(world.lan.address), 0);
    assert.equal(await fetch(world.shared.address), 0);
    assert.equal(await fetch(world.website.address), 7);
    assert.equal(await fetch(world.website.name), 6);
  });

  test('denies beat every allow', async () => {
    await change('--allowed-cidr', '10.0.0.0/8', '--denied-cidr', '10.20.0.0/16');
    const mark = await lab.mark();
    assert.equal(await fetch(world.lan.address), 7);
    assert.equal(await lab.packetsTo(world.lan.address, { since: mark }), 0);
  });

  test('lists alone do not turn deny into allow: both commands are printed, nothing changes', async () => {
    const { exitCode, stderr } = await change('--denied-cidr', '192.168.0.0/16');
    assert.equal(exitCode, 2);
    assert.match(stderr, /vmsan network web --network-policy custom --allowed-cidr 10\.0\.0\.0\/8/);
    assert.match(stderr, /vmsan network web --network-policy custom --denied-cidr 192/);
    const [now] = await lab.vmsanJson<VmJson[]>(['inspect', 'web']);
    assert.equal(now?.network.generation, 3);
  });

  test('an address of the host’s is open only when it is named', async () => {
    await using listener = await lab.listenOnHost(8000);
    assert.ok(listener);
    await change('--allowed-cidr', '192.0.2.0/24');
    assert.equal(await fetch(`${world.host.address}:8000`), 7);
    const { stderr } = await change('--allowed-cidr', world.host.address);
    assert.match(stderr, /192\.0\.2\.10\/32 is opened to the VM: the host's own address/);
    assert.equal(await fetch(`${world.host.address}:8000`), 0);
    assert.equal(await fetch(world.metadata.address), 7);
    await change('--allowed-cidr', '192.0.2.0/24');
    assert.equal(await fetch(`${world.host.address}:8000`), 7);
  });

  test('--dry-run says what would be, counts the flows, and changes nothing', async () => {
    await change('--network-policy', 'allow-all');
    const url = `http://${world.website.address}/drip`;
    const flow = lab.spawn(['vmsan', 'exec', 'web', 'curl', '-sSN', '-m', '120', url]);
    let received = 0;
    flow.stdout!.on('data', (chunk: Buffer) => (received += chunk.length));
    await until('the stream flows', () => received > 0, { deadlineMs: 30_000 });
    const dry = await change('--network-policy', 'deny-all', '--dry-run');
    assert.match(dry.stdout, /nothing was changed; it would be, with 1 flow closed/);
    assert.match(dry.stdout, /^ {2}policy: allow-all -> deny-all$/m);
    assert.equal(await fetch(world.website.address), 0);
    const receipt = await lab.vmsanJson<Receipt>([
      'network',
      'web',
      '--network-policy',
      'deny-all',
    ]);
    assert.equal(receipt.flowsClosed, 1);
    flow.kill('SIGKILL');
  });

  test('a policy survives the daemon', async () => {
    await change('--allowed-cidr', '198.51.100.10');
    const [was] = await lab.vmsanJson<VmJson[]>(['inspect', 'web']);
    await lab.vmsan(['daemon', 'stop'], { check: true });
    const [is] = await lab.vmsanJson<VmJson[]>(['inspect', 'web']);
    assert.deepEqual(is?.network, was?.network);
    assert.equal(await fetch(world.shared.address), 0);
    assert.equal(await fetch(world.website.address), 7);
  });
});
