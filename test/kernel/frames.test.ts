import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { VmNetwork } from '../../src/net/plan.ts';
import { Lab } from '../lab/lab.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { ethernet, ipv4, mac, octets, udp } from '../vm/sender/frames.ts';
import { WiredNetworks } from './wired/commands.ts';

const OTHER_MAC = '02:00:00:00:00:01';
const VLAN = Buffer.from([0x81, 0x00, 0, 5]);
const SERVICE_VLAN = Buffer.from([0x88, 0xa8, 0, 5]);

/** Behind the guard's chain on the same hook: what it counts has passed. */
const WATCH = `table netdev watch {
  chain passed { type filter hook ingress device "tap0" priority filter + 10; policy accept; counter; }
}`;

interface Arp {
  operation?: number;
  ether?: string;
  senderMac?: string;
  senderIp?: string;
  targetIp?: string;
}

describe('the guard of frames, by itself: what passes it, whatever would stop it later', () => {
  let lab: Lab;
  let networks: WiredNetworks;
  let vm: VmNetwork;

  before(async () => {
    lab = await Lab.start();
    networks = await WiredNetworks.start(lab);
    vm = await networks.add(1, 'allow-all');
    await inNetns(['nft', '-f', '-'], WATCH);
  });
  after(async () => {
    await networks?.[Symbol.asyncDispose]();
    await lab?.stop();
  });

  const inNetns = (argv: string[], stdin = '') =>
    lab.exec(['ip', 'netns', 'exec', vm.netns!, ...argv], { stdin, check: true });
  const passed = async () => {
    const { stdout } = await inNetns(['nft', 'list', 'chain', 'netdev', 'watch', 'passed']);
    return Number(/packets (\d+)/.exec(stdout)?.[1]);
  };
  const packet = (source: string, from: string) =>
    ethernet(vm.gatewayMac, from, ipv4(source, world.website.address, udp(9, 'x')));
  const ofKind = (type: number, payload: Buffer) =>
    Buffer.concat([mac(vm.gatewayMac), mac(vm.guestMac), Buffer.from([type >> 8, type]), payload]);
  const tagged = (tag: Buffer) => {
    const plain = packet(vm.guestIp, vm.guestMac);
    return Buffer.concat([plain.subarray(0, 12), tag, plain.subarray(12)]);
  };
  /** A question of the guest's for its gateway (RFC 826), but for what is said otherwise. */
  const arp = (odd: Arp) => {
    const { operation = 1, ether = vm.guestMac, senderMac = vm.guestMac } = odd;
    const { senderIp = vm.guestIp, targetIp = vm.gatewayIp } = odd;
    return Buffer.concat([
      ...[Buffer.alloc(6, 0xff), mac(ether), Buffer.from([8, 6, 0, 1, 8, 0, 6, 4, 0, operation])],
      ...[mac(senderMac), octets(senderIp), Buffer.alloc(6), octets(targetIp)],
    ]);
  };

  test('its own packets pass, and its question for its gateway', async () => {
    for (const frame of [packet(vm.guestIp, vm.guestMac), arp({})]) {
      const before = await passed();
      await networks.do({ do: 'frames', slot: 1, frames: [frame.toString('hex')] });
      await until('it has passed', async () => (await passed()) === before + 1);
    }
  });

  const foreign: [what: string, frame: () => Buffer][] = [
    ['a source MAC of another', () => packet(vm.guestIp, OTHER_MAC)],
    ['its gateway’s MAC', () => packet(vm.guestIp, vm.gatewayMac)],
    ['the address of another VM', () => packet('172.16.99.2', vm.guestMac)],
    ['the address of its gateway', () => packet(vm.gatewayIp, vm.guestMac)],
    ['the address of the host', () => packet(world.host.address, vm.guestMac)],
    ['loopback for a source', () => packet('127.0.0.1', vm.guestMac)],
    ['no source', () => packet('0.0.0.0', vm.guestMac)],
    ['a VLAN', () => tagged(VLAN)],
    ['a VLAN in a VLAN', () => tagged(Buffer.concat([SERVICE_VLAN, VLAN]))],
    [
      'IPv6',
      () =>
        ofKind(
          0x86dd,
          Buffer.concat([Buffer.from('6000000000003bff', 'hex'), Buffer.alloc(32, 1)]),
        ),
    ],
    ['LLDP', () => ofKind(0x88cc, Buffer.alloc(46))],
    ['PPPoE', () => ofKind(0x8863, Buffer.alloc(46))],
    ['an answer by ARP', () => arp({ operation: 2 })],
    ['ARP from a MAC of another', () => arp({ ether: OTHER_MAC })],
    ['ARP that tells another MAC', () => arp({ senderMac: OTHER_MAC })],
    ['ARP that tells an address of another', () => arp({ senderIp: world.host.address })],
    ['ARP that asks for itself', () => arp({ targetIp: vm.guestIp })],
    ['ARP that asks for a third', () => arp({ targetIp: vm.transitHostIp })],
  ];
  for (const [what, frame] of foreign) {
    test(`${what} does not`, async () => {
      const before = await passed();
      const frames = [frame(), arp({})].map((one) => one.toString('hex'));
      await networks.do({ do: 'frames', slot: 1, frames });
      await until('the honest one has passed', async () => (await passed()) > before);
      assert.equal(await passed(), before + 1);
    });
  }
});
