import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { News } from '../../src/daemon/traffic-follower.ts';
import type { VmNetwork } from '../../src/net/plan.ts';
import { SEEN } from '../../src/net/vm-seen.ts';
import type { Decided } from '../../src/store/traffic.ts';
import { Lab } from '../lab/lab.ts';
import { TREE } from '../lab/paths.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { ethernet, ipv4, udp } from '../vm/sender/frames.ts';
import { WiredNetworks, type Said } from './wired/commands.ts';
import type { Probe } from './wired/probe.ts';
import { fetch, lookUp, ping } from './wired/programs.ts';

const { echo, lines, http } = world.ports;
const SLOT = 1;

describe('what was decided is told, with its rule and reason', () => {
  let lab: Lab;
  let networks: WiredNetworks;
  let vm: VmNetwork;
  let generation = 1;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    networks = await WiredNetworks.start(lab);
    vm = await networks.add(SLOT, 'allow-all');
  });
  after(async () => {
    await networks?.[Symbol.asyncDispose]();
    await lab?.stop();
  });

  const setPolicy = (policy: Said) =>
    networks.do({ do: 'policy', slot: SLOT, policy, generation: ++generation });
  const traffic = async () => (await networks.do({ do: 'traffic', slot: SLOT })) as News;
  const probe = (probes: Probe[]) => {
    const script = `${TREE}/test/kernel/wired/probe.ts`;
    return networks.exec(SLOT, [process.execPath, script, JSON.stringify(probes)], { check: true });
  };
  const packet = (from: string, to: string) =>
    ethernet(vm.gatewayMac, vm.guestMac, ipv4(from, to, udp(9, 'x')));
  /** Frames from the guest, and an honest one behind them: when that is told, all are. */
  async function sendFrames(frames: Buffer[]): Promise<void> {
    const last = packet(vm.guestIp, `203.0.113.${(generation += 1) % 250}`);
    const before = (await traffic()).entries.reduce((sum, { count }) => sum + count, 0);
    const hex = [...frames, last].map((frame) => frame.toString('hex'));
    await networks.do({ do: 'frames', slot: SLOT, frames: hex });
    await until('all frames are told', async () => {
      const { entries } = await traffic();
      return entries.reduce((sum, { count }) => sum + count, 0) >= before + hex.length;
    });
  }
  /** What is more than `before`, or newly there, by kind and what. */
  async function since(before: News) {
    const news = await traffic();
    const key = ({ kind, what, verdict, rule, reason }: Decided) =>
      JSON.stringify([kind, what, verdict, rule, reason]);
    const was = new Map(before.entries.map((each) => [key(each), each.count]));
    const found = news.entries.flatMap((each) => {
      const count = each.count - (was.get(key(each)) ?? 0);
      const { verdict, rule, reason } = each;
      return count === 0 ? [] : [[`${each.kind} ${each.what}`, { verdict, rule, reason, count }]];
    });
    return Object.fromEntries(found) as Record<
      string,
      Pick<Decided, 'verdict' | 'rule' | 'reason' | 'count'>
    >;
  }

  test('every refusal of an address has its reason, and is counted', async () => {
    await setPolicy({
      allowedDomains: ['*.example.com'],
      allowedCidrs: ['203.0.113.0/24'],
      deniedCidrs: [world.npm.address],
    });
    const before = await traffic();
    const tcp = (destination: string, port: number): Probe => ({
      destination,
      protocol: 'tcp',
      port,
    });
    const udp = (destination: string, port: number): Probe => ({
      destination,
      protocol: 'udp',
      port,
    });
    await probe([
      tcp(world.metadata.address, http),
      tcp(world.metadata.address, http),
      tcp(world.npm.address, echo),
      tcp('172.16.2.2', 22),
      tcp('10.200.0.1', 1009),
      tcp('172.16.1.1', 22),
      tcp('8.8.8.8', 853),
      udp('8.8.8.8', 853),
      udp('8.8.8.8', 443),
      tcp('8.8.8.8', 443),
      tcp(world.github.address, lines),
      udp(world.github.address, echo),
      { destination: world.github.address, protocol: 'icmp' },
    ]);
    const told = await since(before);
    const deny = (what: string, rule: string, reason: RegExp, count = 1) => {
      const entry = told[`address ${what}`];
      assert.ok(entry, `${what} in ${JSON.stringify(told)}`);
      assert.deepEqual([entry.verdict, entry.rule, entry.count], ['deny', rule, count], what);
      assert.match(entry.reason, reason);
    };
    deny(`${world.metadata.address}:${http}`, 'never', /metadata/, 2);
    deny(`${world.npm.address}:${echo}`, 'denied', /in the denied /);
    deny('172.16.2.2:22', 'never', /networks of VMs/);
    deny('10.200.0.1:1009', 'never', /networks of VMs/);
    deny('172.16.1.1:22', 'never', /networks of VMs/);
    deny('8.8.8.8:853', 'evasion', /DNS over TLS/);
    deny('8.8.8.8:853/udp', 'evasion', /DNS over QUIC/);
    deny('8.8.8.8:443/udp', 'evasion', /QUIC would carry names/);
    deny('8.8.8.8:443', 'evasion', /DNS over HTTPS/);
    deny(`${world.github.address}:${lines}`, 'default', /no list names it/);
    deny(`${world.github.address}:${echo}/udp`, 'default', /no list names it/);
    deny(`${world.github.address} icmp`, 'default', /no list names it/);
  });

  test('what is let through is told once a flow; what the host refuses, as refused', async () => {
    await setPolicy('allow-all');
    const before = await traffic();
    const url = `http://${world.website.address}/`;
    for (let i = 0; i < 3; i++) await fetch(networks, SLOT, url);
    assert.equal(await ping(networks, SLOT, world.website.address), 'answered');
    await fetch(networks, SLOT, `http://${world.host.address}:8080/`);
    // Where routing has the last word: no rule of the policy sees these.
    const lost = ['127.0.0.1', '0.1.2.3', '224.0.0.251', '224.0.0.1', '255.255.255.255'];
    await sendFrames(lost.map((to) => packet(vm.guestIp, to)));
    const told = await since(before);
    assert.partialDeepStrictEqual(told, {
      [`address ${world.website.address}:80`]: { verdict: 'allow', rule: 'default', count: 3 },
      [`address ${world.website.address} icmp`]: { verdict: 'allow', rule: 'default', count: 1 },
      [`address ${world.host.address}:8080`]: { verdict: 'deny', rule: 'never', count: 1 },
    });
    assert.match(told[`address ${world.host.address}:8080`]!.reason, /the host's own/);
    for (const to of lost) {
      const { verdict, rule, count } = told[`address ${to}:9/udp`] ?? {};
      assert.deepEqual({ verdict, rule, count }, { verdict: 'deny', rule: 'never', count: 1 }, to);
    }
  });

  test('frames that are not the guest’s own are counted by what is wrong with them', async () => {
    const before = await traffic();
    const own = packet(vm.guestIp, world.website.address);
    const vlan = (...tags: number[]) =>
      Buffer.concat([own.subarray(0, 12), Buffer.from(tags), own.subarray(12)]);
    const kind = (type: number) =>
      Buffer.concat([own.subarray(0, 12), Buffer.from([type >> 8, type & 255]), Buffer.alloc(46)]);
    await sendFrames([
      ethernet(vm.gatewayMac, '02:00:00:00:00:01', own.subarray(14)),
      packet('172.16.99.2', world.website.address),
      packet('127.0.0.1', world.website.address),
      vlan(0x81, 0, 0, 5),
      vlan(0x88, 0xa8, 0, 5, 0x81, 0, 0, 5),
      kind(0x86dd),
      kind(0x0806),
      kind(0x88cc),
    ]);
    const told = await since(before);
    const counts = Object.entries(told).filter(([what]) => what.startsWith('frame '));
    assert.deepEqual(
      Object.fromEntries(counts.map(([what, { verdict, count }]) => [what, `${verdict} ${count}`])),
      {
        'frame a foreign MAC address': 'deny 1',
        'frame a foreign IPv4 address': 'deny 2',
        'frame a VLAN tag': 'deny 2',
        'frame IPv6': 'deny 1',
        'frame foreign ARP': 'deny 1',
        'frame another protocol': 'deny 1',
      },
    );
  });

  test('names are told too, with the rule', async () => {
    await setPolicy({ allowedDomains: [world.allowed.name] });
    const before = await traffic();
    await lookUp(networks, SLOT, '172.16.1.1', world.allowed.name);
    await lookUp(networks, SLOT, '172.16.1.1', world.denied.name);
    await fetch(networks, SLOT, `http://${world.denied.name}/`);
    await until('all of it is told', async () => {
      const told = await since(before);
      return Object.keys(told).length >= 2;
    });
    const told = await since(before);
    assert.partialDeepStrictEqual(told, {
      [`dns ${world.allowed.name}`]: { verdict: 'allow', rule: world.allowed.name },
      [`dns ${world.denied.name}`]: {
        verdict: 'deny',
        reason: `no rule allows ${world.denied.name}`,
      },
    });
  });

  test('a change of policy keeps what was decided before it, under the old reasons', async () => {
    await setPolicy('allow-all');
    const before = await traffic();
    const target = tcpTo(world.github.address, echo);
    await probe([target]);
    await setPolicy('deny-all');
    await probe([target, target]);
    await setPolicy('allow-all');
    const news = await traffic();
    const what = `${world.github.address}:${echo}`;
    const counts = (verdict: string, from: News) =>
      from.entries
        .filter((each) => each.what === what && each.verdict === verdict)
        .reduce((sum, { count }) => sum + count, 0);
    assert.equal(counts('allow', news) - counts('allow', before), 1);
    assert.equal(counts('deny', news) - counts('deny', before), 2);
  });

  test('a flood is bounded, and how much of it is not listed is told', async () => {
    await setPolicy('deny-all');
    const before = await traffic();
    const frames = Array.from({ length: 3 * SEEN.ports }, (_, n) =>
      ethernet(
        vm.gatewayMac,
        vm.guestMac,
        ipv4(vm.guestIp, world.github.address, udp(20_000 + n, 'x')),
      ),
    );
    const hex = frames.map((frame) => frame.toString('hex'));
    await networks.do({ do: 'frames', slot: SLOT, frames: hex });
    const counter = ['nft', 'list', 'counter', 'inet', vm.table, 'refused'];
    const argv = ['ip', 'netns', 'exec', vm.netns!, ...counter];
    await until('all of it is refused', async () => {
      const { stdout } = await lab.exec(argv, { check: true });
      return stdout.includes(`packets ${frames.length} `);
    });
    const news = await traffic();
    const listed = news.entries.filter(({ what }) => /:2\d{4}\/udp$/.test(what)).length;
    assert.ok(listed >= SEEN.ports / 2 && listed <= SEEN.ports, String(listed));
    assert.equal(news.leftOut - before.leftOut + listed, frames.length);
    // What comes after it is listed again.
    await probe([tcpTo(world.website.address, http)]);
    const [last] = (await traffic()).entries.slice(-1);
    assert.equal(last?.what, `${world.website.address}:${http}`);
  });

  const tcpTo = (destination: string, port: number): Probe => ({
    destination,
    protocol: 'tcp',
    port,
  });
});
