import { settled, type Attempt, type Trial } from '../attempt.ts';
import { isOpen, packetTrial, stays } from '../judges.ts';
import type { Kit } from '../kit.ts';
import { overlaps, planVm } from '../../net/plan.ts';
import type { Packet } from '../../policy/decide.ts';
import { CLOSED_NETWORKS } from '../../policy/never.ts';
import { said, strangeAddress } from '../site.ts';

const MOST_NETWORKS = 4;
const MOST_NEIGHBOURS = 2;
const MOST_HOST_ADDRESSES = 2;

/** Packets to where the policy does not lead. */
export function addressAttempts(kit: Kit): Attempt[] {
  const never = 'no guest ever reaches it';
  return [
    {
      name: 'direct address',
      expected: 'what no rule allows is refused',
      trials: each(kit, [strangeAddress(kit.site)], ['tcp 80', 'tcp 443', 'tcp 22', 'udp 9']),
    },
    {
      name: 'denied network',
      expected: 'denies beat every allow',
      trials: denied(kit),
    },
    { name: 'metadata', expected: never, trials: metadata(kit) },
    { name: 'neighbour VM', expected: never, trials: neighbours(kit) },
    { name: 'host services', expected: never, trials: hostServices(kit) },
    { name: 'reserved addresses', expected: never, trials: reserved(kit) },
  ];
}

function each(kit: Kit, addresses: readonly string[], kinds: readonly string[]): Trial[] {
  return addresses.flatMap((destination) =>
    kinds
      .map((kind) => packetOf(destination, kind))
      .filter((packet) => !['proxy', 'resolver'].includes(said(kit.site, packet).verdict))
      .map((packet) => packetTrial(kit, packet)),
  );
}

/** @param kind "tcp 22", "udp 9", "icmp" */
function packetOf(destination: string, kind: string): Packet {
  const [protocol = '', port] = kind.split(' ');
  return {
    destination,
    protocol: protocol as Packet['protocol'],
    ...(port === undefined ? {} : { port: Number(port) }),
  };
}

/** The first address of each, which is nobody's or a router's. */
function denied(kit: Kit): Trial[] {
  const { policy } = kit.site;
  if (policy.denied.length === 0) return [settled('allowed', 'the policy denies no network')];
  const addresses = policy.denied
    .slice(0, MOST_NETWORKS)
    .map((cidr) => firstOf(cidr))
    .filter((address) => !isOpen(kit.site, packetOf(address, 'tcp 22')));
  return each(kit, addresses, ['tcp 22', 'udp 9', 'icmp']);
}

function firstOf(cidr: string): string {
  const [address = '', prefix] = cidr.split('/');
  return prefix === '32' ? address : address.replace(/\d+$/, (last) => String(Number(last) | 1));
}

function metadata(kit: Kit): Trial[] {
  const addresses = ['169.254.169.254', '168.63.129.16', '100.100.100.200'];
  return each(kit, addresses, ['tcp 80', 'tcp 8080', 'udp 9']);
}

function neighbours(kit: Kit): Trial[] {
  const { vm, host } = kit.site;
  const others = kit.site.neighbours.slice(0, MOST_NEIGHBOURS);
  // Without another VM there is still the address that the next one would have.
  const those = others.length > 0 ? others : [planVm(host.pools, vm.slot + 1, vm.hostLink)];
  const addresses = those.flatMap(({ guestIp, gatewayIp }) => [guestIp, gatewayIp]);
  return each(kit, addresses, ['tcp 22', 'tcp 443', 'udp 9', 'icmp']);
}

function hostServices(kit: Kit): Trial[] {
  const { vm, host, world, listeningAt } = kit.site;
  const pools = [host.pools.subnetPool, host.pools.transitPool];
  const own = world.hostAddresses
    .filter((address) => ![...pools, '127.0.0.0/8'].some((pool) => overlaps(pool, `${address}/32`)))
    .slice(0, MOST_HOST_ADDRESSES);
  return [
    ...each(kit, [vm.gatewayIp, vm.transitHostIp], ['tcp 22', 'udp 9']),
    ...each(
      kit,
      [host.gateIp],
      ['tcp', 'udp'].map((way) => `${way} ${host.dnsPort}`),
    ),
    ...each(kit, [host.gateIp], [`tcp ${host.httpPort}`, `tcp ${host.tlsPort}`]),
    ...own.flatMap((address) => {
      // Where nothing listens a reset says nothing: it might be the host's own.
      const port = listeningAt(address);
      const kinds = [...(port === undefined ? [] : [`tcp ${port}`]), 'udp 9', 'icmp'];
      return each(kit, [address], kinds);
    }),
  ];
}

function reserved(kit: Kit): Trial[] {
  const { policy } = kit.site;
  const targets = ['127.0.0.1', '192.0.0.10', '240.0.0.10', '224.0.0.251', '255.255.255.255'];
  return targets
    .filter((address) => CLOSED_NETWORKS.some(({ cidr }) => overlaps(cidr, `${address}/32`)))
    .filter((address) => !policy.opened.some((cidr) => overlaps(cidr, `${address}/32`)))
    .map((address) => stays(`UDP ${address}:67`, kit.udp(address, 67)));
}
