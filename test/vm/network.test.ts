import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { VmJson } from '../../src/cli/print/vm.ts';
import { Lab } from '../lab/lab.ts';
import * as world from '../lab/world.ts';
import { FRAMES } from './frames.ts';

describe('the network of a real VM', () => {
  let lab: Lab;
  let open: VmJson;
  let shut: VmJson;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    const create = (name: string, policy: string) =>
      lab.vmsanJson<VmJson>(['create', '--name', name, '--network-policy', policy]);
    [open, shut] = await Promise.all([create('open', 'allow-all'), create('shut', 'deny-all')]);
  });
  after(async () => {
    await lab?.stop();
  });

  const inside = (vm: VmJson, ...argv: string[]) => lab.vmsan(['exec', vm.id, ...argv]);
  const fetch = (vm: VmJson, url: string) => inside(vm, 'curl', '-sS', '-m', '10', url);

  test('allow-all: names, HTTP, TLS and ping work', async () => {
    const page = await fetch(open, `http://${world.website.name}/`);
    assert.equal(page.exitCode, 0, page.stderr);
    assert.equal((await inside(open, 'ping', '-c1', '-W5', world.website.address)).exitCode, 0);
    const secure = await inside(open, 'curl', '-ksS', '-m', '10', `https://${world.github.name}/`);
    assert.equal(secure.exitCode, 0, secure.stderr);
  });

  test('allow-all never reaches metadata, the host, or another VM', async () => {
    const mark = await lab.mark();
    const addresses = [...world.neverReachable, world.host.address, shut.guestIp, shut.gatewayIp];
    for (const address of addresses) {
      assert.equal((await fetch(open, `http://${address}/`)).exitCode, 7, address);
      assert.equal(await lab.packetsTo(address, { since: mark }), 0, address);
    }
  });

  test('frames that are not the guest’s own go nowhere', async () => {
    const mark = await lab.mark();
    const target = world.website.address;
    const { exitCode, stderr } = await lab.vmsan(
      ['exec', '-i', open.id, 'python3', '-', target, open.guestIp],
      { stdin: FRAMES },
    );
    assert.equal(exitCode, 0, stderr);
    const udp = await lab.log(mark);
    const heard = udp
      .map((contact) => JSON.stringify(contact))
      .filter((text) => text.includes('udp'));
    assert.equal(heard.length, 1, `only the honest frame arrives: ${heard.join('\n')}`);
    const honest = { protocol: 'udp', port: world.ports.echo, since: mark } as const;
    assert.equal(await lab.packetsTo(target, honest), 1);
  });

  test('deny-all: nothing leaves, and a lookup is told why', async () => {
    const mark = await lab.mark();
    assert.equal((await fetch(shut, `http://${world.website.address}/`)).exitCode, 7);
    assert.equal((await fetch(shut, `http://${world.website.name}/`)).exitCode, 6);
    assert.notEqual((await inside(shut, 'ping', '-c1', '-W2', world.website.address)).exitCode, 0);
    const server = `@${world.otherResolver.address}`;
    const { stdout } = await inside(shut, 'dig', '+tries=1', server, world.website.name);
    assert.match(stdout, /status: REFUSED/);
    assert.match(stdout, /EDE: 18 \(Prohibited\): \(.*deny-all/);
    assert.deepEqual(await lab.arrivals(mark), []);
  });

  test('a policy changes while the VM runs, with a receipt', async () => {
    const receipt = await lab.vmsanJson<Record<string, unknown>>([
      ...['network', 'shut', '--network-policy', 'allow-all'],
    ]);
    assert.partialDeepStrictEqual(receipt['before'], { policy: 'deny-all', generation: 1 });
    assert.partialDeepStrictEqual(receipt['after'], { policy: 'allow-all', generation: 2 });
    assert.equal((await fetch(shut, `http://${world.website.name}/`)).exitCode, 0);

    await lab.vmsan(['network', 'shut', '--network-policy', 'deny-all'], { check: true });
    const mark = await lab.mark();
    assert.equal((await fetch(shut, `http://${world.website.address}/`)).exitCode, 7);
    assert.deepEqual(await lab.arrivals(mark), []);
    const [now] = await lab.vmsanJson<VmJson[]>(['inspect', 'shut']);
    assert.partialDeepStrictEqual(now?.network, { policy: 'deny-all', generation: 3 });
  });

  test('a policy that does not exist changes nothing', async () => {
    for (const policy of ['custom', 'open', '']) {
      const { exitCode, stderr } = await lab.vmsan(['network', 'open', '--network-policy', policy]);
      assert.equal(exitCode, 2);
      assert.match(stderr, /^vmsan: .+\n(hint: .+\n)?$/);
    }
    const [now] = await lab.vmsanJson<VmJson[]>(['inspect', 'open']);
    assert.partialDeepStrictEqual(now?.network, { policy: 'allow-all', generation: 1 });
  });

  test('guests have no IPv6, and nothing waits for it', async () => {
    const { stdout } = await inside(open, 'dig', '+tries=1', 'AAAA', world.website.name);
    assert.match(stdout, /status: NOERROR[^]*ANSWER: 0/);
    assert.equal((await inside(open, 'ping', '-6', '-c1', '-W1', world.host.address6)).exitCode, 2);
  });
});
