import { decide, type Decision, type Packet, type VmSurroundings } from '../policy/decide.ts';
import { nameVerdict, type NameVerdict } from '../policy/name-verdict.ts';
import { parseDomain } from '../policy/domain.ts';
import type { Policy } from '../policy/policy.ts';
import { holdsPort } from '../policy/ports.ts';
import type { HostNetwork, VmNetwork } from '../net/plan.ts';

/** Where an audit takes place, and what should be so there. */
export interface Site {
  policy: Policy;
  vm: VmNetwork;
  host: HostNetwork;
  world: VmSurroundings;
  /** Other VMs that run. */
  neighbours: readonly VmNetwork[];
  /** A TCP port on which something of the host's listens at an address, if any does. */
  listeningAt(address: string): number | undefined;
  /** Open flows of before a change, which the policy forbids. */
  oldFlows: readonly OldFlow[];
  /** A name that the policy allows and that leads into a private network. */
  rebindingName?: string;
}

export interface OldFlow {
  protocol: 'tcp' | 'udp';
  destination: string;
  /** The guest's port, and the destination's. */
  from: number;
  to: number;
}

/** Public addresses that belong to nobody (RFC 5737): what gets out to them goes nowhere. */
const NOBODYS = ['203.0.113.20', '198.51.100.77', '192.0.2.77'];
const NOBODYS_RESOLVERS = ['203.0.113.53', '198.51.100.53', '192.0.2.153'];
/** Names of IANA's own (RFC 2606), which exist. */
const STRANGE_NAMES = ['www.example.org', 'www.example.com', 'www.example.net', 'example.org'];

/** What the policy makes of a packet. */
export function said(site: Site, packet: Packet): Decision {
  return decide(site.policy, packet, site.world);
}

/** Whether the VM's own rules refuse it: of the host's addresses only the host's table knows. */
export function refusedAtOnce(site: Site, packet: Packet): boolean {
  return decide(site.policy, packet, { ...site.world, hostAddresses: [] }).verdict === 'deny';
}

export function saidOfName(site: Site, name: string): NameVerdict {
  return nameVerdict(site.policy, { name });
}

/** A public address that the policy does not allow, if there is one. */
export function strangeAddress(site: Site, candidates: readonly string[] = NOBODYS): string {
  const denied = (destination: string) =>
    said(site, { destination, protocol: 'udp', port: 9 }).verdict === 'deny';
  return candidates.find(denied) ?? candidates[0] ?? '';
}

export function strangeResolver(site: Site): string {
  return strangeAddress(site, NOBODYS_RESOLVERS);
}

/** A name that the policy does not allow; undefined when it allows all. */
export function strangeName(site: Site): string | undefined {
  return STRANGE_NAMES.find((name) => !saidOfName(site, name).allow);
}

/** A name that the policy allows at a port of the proxy's: one that is written out, if there is one. */
export function allowedName(site: Site, port: 80 | 443): string | undefined {
  const rules = site.policy.domains
    .map(parseDomain)
    .filter(({ ports }) => holdsPort(ports, 'tcp', port));
  const rule = rules.find(({ wildcard }) => !wildcard) ?? rules[0];
  return rule && (rule.wildcard ? `www.${rule.name}` : rule.name);
}
