import { addressNumber, rangeOf, type Range } from './cidr.ts';
import { domainMatcher } from './domain-matcher.ts';
import { parseDomain } from './domain.ts';
import { dohNetworks } from './doh.ts';
import { CLOSED_NETWORKS } from './never.ts';
import type { Policy, Surroundings } from './policy.ts';
import { EVASIONS, holdsPort } from './ports.ts';

/** The first packet of a flow, as far as a policy looks at it. */
export interface Packet {
  destination: string;
  protocol: 'tcp' | 'udp' | 'icmp' | 'other';
  /** The destination's; of TCP and UDP alone. */
  port?: number;
}

/** `resolver`, `proxy`: vmsan's own gets it, whatever its destination, and judges the name. */
export type Verdict = 'allow' | 'deny' | 'resolver' | 'proxy';
export type Rule =
  | 'resolver'
  | 'never'
  | 'denied'
  | 'allowed'
  | 'evasion'
  | 'proxy'
  | 'learned'
  | 'private'
  | 'name'
  | 'default';

export interface Decision {
  verdict: Verdict;
  rule: Rule;
  reason: string;
}

/** What a decision depends on beside the policy. */
export interface VmSurroundings extends Surroundings {
  /** The guest's own gateway, where its resolver is. */
  gateway: string;
  /** The allowed name that holds an address for a protocol and port right now, if one does. */
  learned?: (address: string, protocol: 'tcp' | 'udp', port: number) => string | undefined;
}

/**
 * What happens to a new packet of a guest's: the meaning that the kernel's
 * ruleset must have too. Pure.
 */
export function decide(policy: Policy, packet: Packet, world: VmSurroundings): Decision {
  return decider(policy, world)(packet);
}

/** `decide` for many packets under one policy. */
export function decider(policy: Policy, world: VmSurroundings): (packet: Packet) => Decision {
  const byAddress = addressRules(policy, world);
  const byName = policy.domains.length === 0 ? undefined : nameRules(policy, world);

  return (packet) => {
    const { destination } = packet;
    if (isQuery(packet) && (policy.base !== 'allow-all' || destination === world.gateway)) {
      return decision('resolver', 'resolver', 'port 53 goes to the resolver of vmsan');
    }
    const address = addressNumber(destination);
    const named = byName?.(packet, address);
    const listed = byAddress(destination, address, named?.verdict === 'proxy');
    if (listed !== undefined) return listed;
    if (named !== undefined) return named;
    const words = policy.default === 'allow' ? 'allows' : 'denies';
    return decision(policy.default, 'default', `no list names it, and ${policy.base} ${words} it`);
  };
}

/**
 * What is said of a destination by its address alone; undefined when nothing
 * is. Of the host's own, nothing is said when the proxy takes the packet: it
 * never goes where it was sent, and the proxy dials none of the host's.
 */
export function addressRules(policy: Policy, world: Surroundings) {
  const pools = world.vmPools.map(rangeOf);
  const hosts = new Set(world.hostAddresses.map(addressNumber));
  const closed = CLOSED_NETWORKS.map((network) => ({ ...network, ...rangeOf(network.cidr) }));
  const allowed = policy.allowed.map(rangeOf);
  const denied = policy.denied.map(rangeOf);
  const opened = policy.opened.map(rangeOf);

  return (destination: string, address: number, proxied = false): Decision | undefined => {
    const pool = holding(pools, address);
    if (pool !== undefined) {
      return decision('deny', 'never', `${destination} is in ${pool.cidr}, the networks of VMs`);
    }
    const deny = holding(denied, address);
    if (deny !== undefined) {
      return decision('deny', 'denied', `${destination} is in the denied ${deny.cidr}`);
    }
    const allow = holding(allowed, address);
    if (holding(opened, address) === undefined) {
      if (hosts.has(address) && (allow !== undefined || !proxied)) {
        return decision('deny', 'never', `${destination} is the host's own`);
      }
      const never = holding(closed, address);
      if (never !== undefined) {
        return decision('deny', 'never', `${destination} is in ${never.cidr}: ${never.what}`);
      }
    }
    if (allow !== undefined) {
      return decision('allow', 'allowed', `${destination} is in the allowed ${allow.cidr}`);
    }
    return undefined;
  };
}

/** What domain rules make of a packet that no network is said of; undefined leaves it to the default. */
function nameRules({ domains }: Policy, { learned }: VmSurroundings) {
  const matcher = domainMatcher(domains);
  const doh = dohNetworks(domains.map(parseDomain)).map(rangeOf);

  return ({ destination, protocol, port }: Packet, address: number): Decision | undefined => {
    if ((protocol !== 'tcp' && protocol !== 'udp') || port === undefined) return undefined;
    const evasion = EVASIONS.find((each) => holdsPort([each], protocol, port));
    if (evasion !== undefined) {
      return decision('deny', 'evasion', `${evasion.what} would carry names past the policy`);
    }
    const web = protocol === 'tcp' && (port === 80 || port === 443);
    if (web && port === 443 && holding(doh, address) !== undefined) {
      return decision('deny', 'evasion', `${destination} is a public resolver's: DNS over HTTPS`);
    }
    if (web) {
      if (!matcher.covers(protocol, port)) return undefined;
      return decision('proxy', 'proxy', `TCP port ${port} goes to vmsan's proxy, by name`);
    }
    const name = learned?.(destination, protocol, port);
    if (name === undefined) return undefined;
    return decision('allow', 'learned', `${destination} is ${name}, which may be reached there`);
  };
}

function isQuery({ protocol, port }: Packet): boolean {
  return port === 53 && (protocol === 'tcp' || protocol === 'udp');
}

export function holding<T extends Range>(ranges: readonly T[], address: number): T | undefined {
  return ranges.find(({ first, last }) => first <= address && address <= last);
}

export function decision(verdict: Verdict, rule: Rule, reason: string): Decision {
  return { verdict, rule, reason };
}
