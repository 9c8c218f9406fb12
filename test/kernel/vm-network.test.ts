import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { killGroup } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { WiredNetworks } from './wired/commands.ts';
import { fetch, lookUp, ping } from './wired/programs.ts';

/** Everything of the host's network that we may have touched, as text. */
const STATE = `nft list ruleset; ip -o link; ip -4 -o address; ip -4 route show table all
  ip netns; cd /proc/sys/net/ipv4/conf && grep . */forwarding ../ip_forward`;

describe('the network of a VM, by packets', () => {
  let lab: Lab;
  let networks: WiredNetworks;
  let hostBefore: string;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    networks = await WiredNetworks.start(lab);
    hostBefore = await stateOf(lab);
    await networks.add(1, 'allow-all');
    await networks.add(2, 'allow-all');
  });
  after(async () => {
    await networks?.[Symbol.asyncDispose]();
    await lab?.stop();
  });

  test('allow-all reaches the internet, under the host’s address', async () => {
    const page = await fetch(networks, 1, `http://${world.website.address}/`);
    assert.equal(page.exitCode, 0, page.stderr);
    assert.equal((JSON.parse(page.stdout) as { client: string }).client, world.host.address);
    assert.equal(await ping(networks, 1, world.website.address), 'answered');
  });

  test('allow-all resolves names at the gateway, over UDP and TCP', async () => {
    for (const options of [[], ['+tcp']]) {
      const answer = await lookUp(networks, 1, '172.16.1.1', world.website.name, options);
      assert.match(answer, new RegExp(`\\sA\\s${world.website.address}`));
    }
  });

  test('answers reach a guest whose own answers to ARP are dropped', async () => {
    // What the netns has learnt would be forgotten after eight seconds.
    const forget = ['ip', '-netns', 'vmsan-vm-00000001', 'neighbour', 'flush', 'dev', 'tap0'];
    await lab.exec(forget, { check: true });
    assert.equal(await ping(networks, 1, world.website.address), 'answered');
  });

  test('AAAA has no data, so that nothing waits for IPv6', async () => {
    const answer = await lookUp(networks, 1, '172.16.1.1', world.website.name, ['AAAA']);
    assert.match(answer, /status: NOERROR/);
    assert.match(answer, /ANSWER: 0/);
  });

  for (const address of world.neverReachable) {
    test(`allow-all never reaches ${address}, and says so at once`, async () => {
      const mark = await lab.mark();
      assert.equal((await fetch(networks, 1, `http://${address}/`)).exitCode, 7);
      assert.equal(await ping(networks, 1, address), 'refused');
      assert.equal(await lab.packetsTo(address, { since: mark }), 0);
    });
  }

  test('no VM reaches the host, by any of its addresses', async () => {
    await using listener = await lab.listenOnHost(8000);
    assert.ok(listener);
    for (const address of [world.host.address, '10.200.0.1', '10.200.0.4', '10.200.0.6']) {
      assert.equal((await fetch(networks, 1, `http://${address}:8000/`)).exitCode, 7, address);
    }
  });

  test('an address the host gets later is out of reach too', async () => {
    await using listener = await lab.listenOnHost(8001);
    assert.ok(listener);
    await lab.exec(['ip', 'address', 'add', '198.51.100.200/32', 'dev', 'lo'], { check: true });
    const page = await fetch(networks, 1, 'http://198.51.100.200:8001/');
    await lab.exec(['ip', 'address', 'delete', '198.51.100.200/32', 'dev', 'lo'], { check: true });
    assert.equal(page.exitCode, 7);
  });

  test('no VM reaches another, nor its gateway', async () => {
    for (const address of ['172.16.2.2', '172.16.2.1', '172.16.1.1', '10.200.0.7']) {
      assert.equal((await fetch(networks, 1, `http://${address}/`)).exitCode, 7, address);
    }
  });

  test('its netns answers nothing itself', async () => {
    for (const address of ['172.16.1.1', '10.200.0.5']) {
      assert.equal(await ping(networks, 1, address), 'refused', address);
    }
  });

  test('no link of a VM has an IPv6 address', async () => {
    const inside = ['ip', '-netns', 'vmsan-vm-00000001', '-6', '-o', 'address'];
    const outside = ['ip', '-6', '-o', 'address', 'show', 'dev', 'vm-00000001'];
    for (const argv of [inside, outside]) {
      assert.equal((await lab.exec(argv, { check: true })).stdout, '');
    }
  });

  test('nor does the host begin anything with a VM', async () => {
    assert.notEqual(
      (await lab.exec(['ping', '-c1', '-W1', '-I', world.host.address, '172.16.1.2'])).exitCode,
      0,
    );
  });

  test('nobody outside reaches a VM by routing to it', async () => {
    const route = ['ip', 'route', 'add', '172.16.0.0/16', 'via', world.host.address];
    await lab.internetExec(route, { check: true });
    const probe = await lab.internetExec(['ping', '-c1', '-W1', '172.16.1.2']);
    await lab.internetExec(route.with(2, 'delete'), { check: true });
    assert.notEqual(probe.exitCode, 0);
  });

  test('the host forwards for VMs alone', async () => {
    const route = ['ip', 'route', 'add', '198.18.0.0/24', 'via', world.host.address];
    await lab.internetExec(route, { check: true });
    const mark = await lab.mark();
    await lab.exec(['ip', 'route', 'add', '198.18.0.0/24', 'via', world.router.address]);
    await lab.internetExec(['ping', '-c1', '-W1', '198.18.0.1']);
    await lab.exec(['ip', 'route', 'delete', '198.18.0.0/24']);
    await lab.internetExec(route.with(2, 'delete'), { check: true });
    assert.equal(await lab.packetsTo('198.18.0.1', { since: mark }), 0);
  });

  test('the gate hears VMs alone', async () => {
    const question = [
      'dig',
      '+tries=1',
      '+time=1',
      '-p',
      '1009',
      '@10.200.0.1',
      world.website.name,
    ];
    assert.notEqual((await lab.exec(question)).exitCode, 0);
    const route = ['ip', 'route', 'add', '10.200.0.1/32', 'via', world.host.address];
    await lab.internetExec(route, { check: true });
    const answer = await lab.internetExec(question);
    await lab.internetExec(route.with(2, 'delete'), { check: true });
    assert.notEqual(answer.exitCode, 0);
  });

  test('from the gate’s address nothing goes to the internet, whoever opened the socket', async () => {
    const mark = await lab.mark();
    const script = `
      const socket = require('node:dgram').createSocket('udp4');
      socket.bind(2000, '10.200.0.1', () =>
        socket.send('out', 7, '${world.website.address}', () => socket.close()));`;
    await lab.exec([process.execPath, '-e', script], { check: true });
    assert.equal(await lab.packetsTo(world.website.address, { since: mark }), 0);
  });

  test('deny-all: no packet leaves, names are refused with the reason', async () => {
    await networks.do({ do: 'policy', slot: 2, policy: 'deny-all', generation: 2 });
    const mark = await lab.mark();
    const page = await fetch(networks, 2, `http://${world.website.address}/`);
    assert.equal(page.exitCode, 7);
    assert.equal(await ping(networks, 2, world.website.address), 'refused');
    for (const server of ['172.16.2.1', world.otherResolver.address]) {
      const answer = await lookUp(networks, 2, server, world.website.name);
      assert.match(answer, /status: REFUSED/);
      assert.match(answer, /EDE: 18 \(Prohibited\): \(.*deny-all/);
    }
    assert.deepEqual(await lab.arrivals(mark), []);
    assert.deepEqual(await lab.log(mark), []);
  });

  test('a change cuts the flows it forbids and keeps those it allows', async () => {
    await networks.do({ do: 'policy', slot: 2, policy: 'allow-all', generation: 3 });
    const url = `http://${world.website.address}/drip`;
    const flow = networks.spawn(2, ['curl', '-sSN', '-m', '60', url]);
    let received = 0;
    flow.stdout!.on('data', (chunk: Buffer) => (received += chunk.length));
    const grows = async (why: string) => {
      const seen = received;
      await until(`the stream goes on ${why}`, () => received > seen);
    };
    await grows('at first');
    await networks.do({ do: 'policy', slot: 2, policy: 'allow-all', generation: 4 });
    await grows('after a change that allows it');
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    flow.on('close', () => resolve());
    await networks.do({ do: 'policy', slot: 2, policy: 'deny-all', generation: 5 });
    const atChange = received;
    const mark = await lab.mark();
    // Something of the guest's own on the wire, so that its side hears of the end.
    assert.equal((await fetch(networks, 2, `http://${world.website.address}/`)).exitCode, 7);
    assert.deepEqual(await lab.arrivals(mark), []);
    assert.ok(received - atChange <= 200, `${received - atChange} bytes came after the change`);
    killGroup(flow);
    await ended;
  });

  test('tear-down leaves the host as it was', async () => {
    await networks.do({ do: 'remove', slot: 1 });
    await networks.do({ do: 'remove', slot: 2 });
    assert.equal(await stateOf(lab), hostBefore);
  });
});

async function stateOf(lab: Lab): Promise<string> {
  const { stdout } = await lab.exec(['sh', '-c', STATE]);
  return stdout.replaceAll(/^guest-\d.*\n/gm, '');
}
