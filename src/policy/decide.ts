import { addressNumber, rangeOf, type Range } from './cidr.ts';
import { CLOSED_NETWORKS } from './never.ts';
import type { Policy, Surroundings } from './policy.ts';

/** The first packet of a flow, as far as a policy looks at it. */
export interface Packet {
  destination: string;
  protocol: 'tcp' | 'udp' | 'icmp' | 'other';
  /** The destination's; of TCP and UDP alone. */
  port?: number;
}

/** `resolver`: vmsan's own resolver gets it, whatever its destination, and judges the name. */
export type Verdict = 'allow' | 'deny' | 'resolver';
export type Rule = 'resolver' | 'never' | 'denied' | 'allowed' | 'default';

export interface Decision {
  verdict: Verdict;
  rule: Rule;
  reason: string;
}

/** What a decision depends on beside the policy. */
export interface VmSurroundings extends Surroundings {
  /** The guest's own gateway, where its resolver is. */
  gateway: string;
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
  const pools = world.vmPools.map(rangeOf);
  const hosts = new Set(world.hostAddresses.map(addressNumber));
  const closed = CLOSED_NETWORKS.map((network) => ({ ...network, ...rangeOf(network.cidr) }));
  const allowed = policy.allowed.map(rangeOf);
  const denied = policy.denied.map(rangeOf);
  const opened = policy.opened.map(rangeOf);

  return (packet) => {
    const { destination } = packet;
    if (isQuery(packet) && (policy.base !== 'allow-all' || destination === world.gateway)) {
      return decision('resolver', 'resolver', 'port 53 goes to the resolver of vmsan');
    }
    const address = addressNumber(destination);
    const pool = holding(pools, address);
    if (pool !== undefined) {
      return decision('deny', 'never', `${destination} is in ${pool.cidr}, the networks of VMs`);
    }
    const deny = holding(denied, address);
    if (deny !== undefined) {
      return decision('deny', 'denied', `${destination} is in the denied ${deny.cidr}`);
    }
    if (holding(opened, address) === undefined) {
      if (hosts.has(address)) {
        return decision('deny', 'never', `${destination} is the host's own`);
      }
      const never = holding(closed, address);
      if (never !== undefined) {
        return decision('deny', 'never', `${destination} is in ${never.cidr}: ${never.what}`);
      }
    }
    const allow = holding(allowed, address);
    if (allow !== undefined) {
      return decision('allow', 'allowed', `${destination} is in the allowed ${allow.cidr}`);
    }
    const words = policy.default === 'allow' ? 'allows' : 'denies';
    return decision(policy.default, 'default', `no list names it, and ${policy.base} ${words} it`);
  };
}

function isQuery({ protocol, port }: Packet): boolean {
  return port === 53 && (protocol === 'tcp' || protocol === 'udp');
}

function holding<T extends Range>(ranges: readonly T[], address: number): T | undefined {
  return ranges.find(({ first, last }) => first <= address && address <= last);
}

function decision(verdict: Verdict, rule: Rule, reason: string): Decision {
  return { verdict, rule, reason };
}
