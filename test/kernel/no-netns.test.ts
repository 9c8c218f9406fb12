import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { VmNetwork } from '../../src/net/plan.ts';
import type { Caps } from '../../src/net/vm-caps.ts';
import { killGroup } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { ACK, ethernet, ipv4, tcp, udp } from '../vm/sender/frames.ts';
import { WiredNetworks } from './wired/commands.ts';
import { burstOfQueries, fetch, lookUp, ping } from './wired/programs.ts';

const PAGE = `http://${world.website.address}/`;
const ID = 'vm-00000001';
/** Everything of the host's network that we may have touched, as text. */
const STATE = `nft list ruleset; ip rule; ip -o link; ip -4 -o address; ip -4 route show table all
  ip netns; cd /proc/sys/net/ipv4/conf && grep . */forwarding ../ip_forward`;
/** A machine behind the host, which forwards for it by itself: nothing of vmsan's. */
const NEIGHBOUR = `ip netns add neighbour
  ip link add n0 type veth peer name eth0 netns neighbour
  ip address add 10.99.0.1/24 dev n0; ip link set n0 up
  ip -n neighbour address add 10.99.0.2/24 dev eth0; ip -n neighbour link set eth0 up
  ip -n neighbour route add default via 10.99.0.1
  for link in n0 eth0; do echo 1 >/proc/sys/net/ipv4/conf/$link/forwarding; done`;
/** The host's own rules, with marks of their own and a DNAT for everybody. */
const HOST_RULES = `table ip own {
  chain marks { type filter hook forward priority mangle; iifname "n0" ct mark set ct mark | 0x7; }
  chain back { type filter hook forward priority mangle + 1; oifname "n0" ct mark & 0xffff != 0x7 drop; }
  chain to_github { type nat hook prerouting priority dstnat - 20; tcp dport 8088 dnat to ${world.github.address}:80; }
  chain out { type nat hook postrouting priority srcnat; ip saddr 10.99.0.0/24 masquerade; }
}`;

describe('a VM without a netns, by packets', () => {
  let lab: Lab;
  let networks: WiredNetworks;
  let hostBefore: string;
  let vm: VmNetwork;
  let generation = 1;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    await lab.exec(['sh', '-ec', NEIGHBOUR], { check: true });
    await lab.exec(['nft', '-f', '-'], { stdin: HOST_RULES, check: true });
    networks = await WiredNetworks.start(lab);
    hostBefore = await stateOf(lab);
    vm = await networks.add(1, 'allow-all', { netns: false });
    await networks.add(2, 'allow-all');
    await networks.add(3, 'allow-all', { netns: false });
  });
  after(async () => {
    await networks?.[Symbol.asyncDispose]();
    await lab?.stop();
  });

  const setPolicy = (policy: string, slot = 1) =>
    networks.do({ do: 'policy', slot, policy, generation: ++generation });
  const neighbour = (...argv: string[]) => lab.exec(['ip', 'netns', 'exec', 'neighbour', ...argv]);
  /** A stream of bytes that goes on for as long as nobody ends it. */
  const drip = (child: ReturnType<Lab['spawn']>) => {
    let received = 0;
    child.stdout!.on('data', (chunk: Buffer) => (received += chunk.length));
    return {
      grows: async (why: string) => {
        const seen = received;
        await until(`the stream goes on ${why}`, () => received > seen);
      },
      [Symbol.dispose]: () => killGroup(child),
    };
  };
  const dripOf = (slot: number) =>
    drip(networks.spawn(slot, ['curl', '-sSN', '-m', '120', `${PAGE}drip`]));

  test('allow-all reaches the internet under the host’s address, and resolves at its gateway', async () => {
    const page = await fetch(networks, 1, PAGE);
    assert.equal(page.exitCode, 0, page.stderr);
    assert.equal((JSON.parse(page.stdout) as { client: string }).client, world.host.address);
    assert.equal(await ping(networks, 1, world.website.address), 'answered');
    for (const options of [[], ['+tcp']]) {
      const answer = await lookUp(networks, 1, vm.gatewayIp, world.website.name, options);
      assert.match(answer, new RegExp(`\\sA\\s${world.website.address}`));
    }
  });

  test('it never reaches metadata, its gateway, the host, or VMs of either kind', async () => {
    await using listener = await lab.listenOnHost(8000);
    assert.ok(listener);
    const mark = await lab.mark();
    const others = ['172.16.2.2', '172.16.3.2', '172.16.3.1', vm.gatewayIp, '10.200.0.1'];
    const addresses = [...world.neverReachable, world.host.address, '10.99.0.1', ...others];
    for (const address of addresses) {
      assert.equal((await fetch(networks, 1, `http://${address}:8000/`)).exitCode, 7, address);
    }
    for (const address of world.neverReachable) {
      assert.equal(await lab.packetsTo(address, { since: mark }), 0);
    }
    assert.equal((await fetch(networks, 2, `http://${vm.guestIp}/`)).exitCode, 7);
    assert.equal((await fetch(networks, 3, `http://${vm.guestIp}/`)).exitCode, 7);
  });

  test('a DNAT of the host’s leads it nowhere that its policy denies', async () => {
    // Judged as it was addressed: the host’s own address, and then one that is allowed.
    assert.equal((await fetch(networks, 1, `http://${world.host.address}:8088/`)).exitCode, 7);
    assert.equal((await fetch(networks, 1, `http://${world.website.address}:8088/`)).exitCode, 0);
  });

  test('nobody enters: neither by routing to it nor from the host', async () => {
    const route = ['ip', 'route', 'add', '172.16.0.0/16', 'via', world.host.address];
    await lab.internetExec(route, { check: true });
    const outside = await lab.internetExec(['ping', '-c1', '-W1', vm.guestIp]);
    await lab.internetExec(route.with(2, 'delete'), { check: true });
    assert.notEqual(outside.exitCode, 0);
    assert.notEqual((await neighbour('ping', '-c1', '-W1', vm.guestIp)).exitCode, 0);
    assert.notEqual((await lab.exec(['ping', '-c1', '-W1', vm.guestIp])).exitCode, 0);
  });

  test('deny-all: no packet leaves, names are refused with the reason; another VM is untouched', async () => {
    using other = dripOf(3);
    await other.grows('at first');
    await setPolicy('deny-all');
    const mark = await lab.mark();
    assert.equal((await fetch(networks, 1, PAGE)).exitCode, 7);
    assert.equal(await ping(networks, 1, world.npm.address), 'refused');
    for (const server of [vm.gatewayIp, world.otherResolver.address]) {
      const answer = await lookUp(networks, 1, server, world.website.name);
      assert.match(answer, /EDE: 18 \(Prohibited\): \(.*deny-all/);
    }
    for (const { address } of await lab.arrivals(mark))
      assert.equal(address, world.website.address);
    assert.deepEqual(await lab.log(mark), []);
    await other.grows('beside it');
    await setPolicy('allow-all');
  });

  test('flows that the host forwards for others are as they were, their marks too', async () => {
    using flow = drip(
      lab.spawn(['ip', 'netns', 'exec', 'neighbour', 'curl', '-sSN', '-m', '120', `${PAGE}drip`]),
    );
    await flow.grows('at first');
    await setPolicy('deny-all');
    await flow.grows('beside a VM that may nothing');
    assert.equal((await neighbour('curl', '-sS', '-m', '10', PAGE)).exitCode, 0);
    await setPolicy('allow-all');
    await flow.grows('in the end');
  });

  test('its caps hold, to the gate too, and not for another VM', async () => {
    const setCaps = async (caps: Partial<Caps>) => {
      await lab.exec(['nft', 'delete', 'table', 'inet', vm.capsTable], { check: true });
      await networks.do({ do: 'caps', slot: 1, caps });
    };
    await setCaps({ flows: 0 });
    assert.equal((await fetch(networks, 1, PAGE)).exitCode, 7);
    assert.equal((await fetch(networks, 3, PAGE)).exitCode, 0);
    await setCaps({ queriesPerSecond: 1 });
    const answers = await burstOfQueries(networks, 1, vm.gatewayIp);
    assert.ok(answers >= 1 && answers < 50, `${answers} of 200 answered`);
    await setCaps({});
    assert.equal((await fetch(networks, 1, PAGE)).exitCode, 0);
  });

  test('a middle of a flow that nobody saw begin passes nothing', async () => {
    const mark = await lab.mark();
    await send(ipv4(vm.guestIp, world.npm.address, tcp(vm.guestIp, world.npm.address, 80, ACK)));
    await settle();
    assert.equal(await lab.packetsTo(world.npm.address, { since: mark }), 0);
  });

  for (const [what, argv] of Object.entries({
    everything: ['flush', 'ruleset'],
    'the VM’s table': ['delete', 'table', 'inet', `vmsan-${ID}`],
    'the rules of that table': ['flush', 'table', 'inet', `vmsan-${ID}`],
  })) {
    test(`somebody flushes ${what}: nothing is open, and it can be put back`, async () => {
      await using listener = await lab.listenOnHost(8002);
      assert.ok(listener);
      using flow = dripOf(1);
      await flow.grows('at first');
      await lab.exec(['nft', ...argv], { check: true });
      const mark = await lab.mark();
      const hosts = [world.host.address, vm.gatewayIp, '10.200.0.1', '172.16.2.2', '172.16.3.2'];
      const everywhere = [world.website.address, world.lan.address, ...hosts];
      const reached = await Promise.all(
        everywhere.flatMap((address) => [
          ...[80, 8002].map((port) => fetch(networks, 1, `http://${address}:${port}/`)),
          networks.exec(1, ['ping', '-c1', '-W1', address]),
        ]),
      );
      assert.deepEqual(
        reached.filter(({ exitCode }) => exitCode === 0),
        [],
      );
      const frames = [world.npm.address, world.metadata.address, world.lan.address].flatMap(
        (address) =>
          [vm.guestIp, '172.16.3.2', world.router.address].map((from) =>
            ipv4(from, address, udp(7, 'x')),
          ),
      );
      for (const frame of frames) await send(frame);
      await settle();
      const left = (await lab.arrivals(mark)).filter(
        ({ address }) => address !== world.website.address,
      );
      assert.deepEqual(left, []);
      assert.deepEqual(
        (await lab.reached(mark)).filter(({ server }) => server !== 'dns'),
        [],
      );
      for (const slot of [1, 3]) {
        await networks.do({ do: 'restore', slot });
        await setPolicy('allow-all', slot);
      }
      assert.equal((await fetch(networks, 1, PAGE)).exitCode, 0);
      assert.equal((await fetch(networks, 3, PAGE)).exitCode, 0);
    });
  }

  test('tear-down leaves the host as it was', async () => {
    for (const slot of [1, 2, 3]) await networks.do({ do: 'remove', slot });
    await lab.exec(['nft', '-f', '-'], {
      stdin: `table ip own\ndelete table ip own\n${HOST_RULES}`,
    });
    assert.equal(await stateOf(lab), hostBefore);
  });

  const send = (packet: Buffer) =>
    networks.do({
      do: 'frames',
      slot: 1,
      frames: [ethernet(vm.gatewayMac, vm.guestMac, packet).toString('hex')],
    });
  /** A round trip through the same TAP, behind what was sent. */
  const settle = () => networks.exec(1, ['ping', '-c1', '-W1', vm.gatewayIp]);
});

async function stateOf(lab: Lab): Promise<string> {
  const { stdout } = await lab.exec(['sh', '-c', STATE]);
  return stdout.replaceAll(/^guest-\d.*\n/gm, '').replaceAll(/^\d+: (?=\S+@?\S*: <)/gm, '');
}
