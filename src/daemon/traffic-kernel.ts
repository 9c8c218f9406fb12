import type { Count, Seen } from '../net/observe.ts';
import { CAPS } from '../net/vm-caps.ts';
import { decider, type Decision, type Packet, type VmSurroundings } from '../policy/decide.ts';
import type { Policy } from '../policy/policy.ts';
import type { Decided } from '../store/traffic.ts';

/** What was last read in a VM's netns: what is more by now was decided since. */
export interface LastRead {
  /** Packets, by counter. */
  counters: Record<string, number>;
  /** Packets, by destination. */
  seen: Record<string, number>;
  /** Packets that went no further since the VM's network was made, whatever was loaded anew; by reason. */
  dropped?: Record<string, number>;
}

/** Why packets of a VM go no further, in a word, and which counters tell of them. */
const REASONS: Readonly<Record<string, readonly string[]>> = {
  policy: ['refused', 'stray'],
  frames: ['foreign_mac', 'foreign_ip', 'foreign_arp', 'ipv6_frame', 'vlan_frame', 'other_frame'],
  caps: ['new_flows_over', 'open_flows_over', 'queries_over'],
};

/** What had been dropped at the last look, and what was since. */
export function droppedUntil(
  counters: ReadonlyMap<string, Count>,
  last: LastRead,
): Record<string, number> {
  const totals = Object.entries(REASONS).map(([reason, names]) => {
    const news = names.reduce((sum, name) => sum + since(counters, last, name), 0);
    return [reason, (last.dropped?.[reason] ?? 0) + news];
  });
  return Object.fromEntries(totals) as Record<string, number>;
}

export const NOTHING_READ: LastRead = { counters: {}, seen: {} };

/** Which element of which set. */
export function keyOf({ verdict, destination, protocol, port }: Seen): string {
  return `${verdict} ${destination} ${protocol} ${port ?? ''}`;
}

/** What the kernel decided about a destination since the last look, and why: by the function that has its meaning. */
export function explainer(
  policy: Policy,
  world: VmSurroundings,
): (seen: Seen, count: number) => Decided {
  const decide = decider(policy, world);
  return (seen, count) => {
    const { destination, port, atMs } = seen;
    const decision = reconciled(seen, decide(packetOf(seen)));
    return {
      kind: 'address',
      what: whatOf(seen),
      verdict: decision.verdict,
      rule: decision.rule,
      reason: decision.reason,
      address: destination,
      port: port ?? 0,
      firstAtMs: atMs,
      lastAtMs: atMs,
      count,
    };
  };
}

/** As `vmsan explain` takes it, where it does. */
function whatOf({ destination, protocol, port }: Seen): string {
  if (port === undefined) return `${destination} ${protocol}`;
  return `${destination}:${port}${protocol === 'udp' ? '/udp' : ''}`;
}

function packetOf({ destination, protocol, port }: Seen): Packet {
  const known = protocol === 'tcp' || protocol === 'udp' || protocol === 'icmp';
  return {
    destination,
    protocol: known ? protocol : 'other',
    ...(port === undefined ? {} : { port }),
  };
}

type Told = Pick<Decided, 'verdict' | 'rule' | 'reason'>;

/**
 * What the kernel did is what is told. It is not what `decide` says now where
 * the host's own table has the last word, and where a name held the address then.
 */
function reconciled(seen: Seen, now: Decision): Told {
  if (seen.verdict === now.verdict) return now;
  if (seen.verdict === 'allow') {
    // The netns lets it out, and the host's table refuses it.
    if (now.rule === 'never' || now.rule === 'denied') return now;
    const reason = `an allowed name held ${seen.destination} then`;
    return { verdict: 'allow', rule: 'learned', reason };
  }
  if (now.verdict === 'proxy' || now.verdict === 'resolver') {
    return { verdict: 'deny', rule: now.rule, reason: `${now.reason}, and not past it` };
  }
  return { verdict: 'deny', rule: '', reason: 'no allowed name held it then' };
}

/** Counters that tell of packets that are no destination's. */
const COUNTED: Readonly<Record<string, Pick<Decided, 'kind' | 'what' | 'rule' | 'reason'>>> = {
  foreign_mac: frame('a foreign MAC address', 'it is not from the MAC address of this VM'),
  foreign_ip: frame('a foreign IPv4 address', 'it is not from the address of this VM'),
  foreign_arp: frame('foreign ARP', 'it asks for another than the gateway, or as another'),
  ipv6_frame: frame('IPv6', 'guests have no IPv6'),
  vlan_frame: frame('a VLAN tag', 'guests have no VLANs'),
  other_frame: frame('another protocol', 'it is neither IPv4 nor ARP'),
  stray: {
    kind: 'flow',
    what: 'a stray packet',
    rule: 'state',
    reason: 'it belongs to no flow that began here',
  },
  new_flows_over: cap('new flows', `more than ${CAPS.newFlowsPerSecond} a second`),
  open_flows_over: cap('open flows', `${CAPS.flows} are open already`),
  queries_over: cap(
    'queries',
    `more than ${CAPS.queriesPerSecond} packets a second to the resolver`,
  ),
};

/** What the counters tell beside destinations, since the last look. */
export function countedSince(
  counters: ReadonlyMap<string, Count>,
  last: LastRead,
  nowMs: number,
): Decided[] {
  return Object.entries(COUNTED).flatMap(([name, about]) => {
    const count = since(counters, last, name);
    if (count === 0) return [];
    const at = { firstAtMs: nowMs, lastAtMs: nowMs };
    return [{ ...about, verdict: 'deny', address: '', port: 0, ...at, count }];
  });
}

/** Packets of a counter since the last look; of one that was made anew, all of them. */
export function since(counters: ReadonlyMap<string, Count>, last: LastRead, name: string): number {
  return more(counters.get(name)?.packets ?? 0, last.counters[name]);
}

export function more(now: number, before = 0): number {
  return now >= before ? now - before : now;
}

function frame(what: string, reason: string) {
  return { kind: 'frame', what, rule: 'frames', reason };
}

function cap(what: string, reason: string) {
  return { kind: 'flow', what, rule: 'cap', reason };
}
