import type { VmNetwork } from './plan.ts';

/**
 * What the policy decided by address, to be read by vmsand: a part of the
 * policy's table, so that all of it was decided under that policy.
 *
 * A guest fills these sets: each is bounded. When one is full the rest of its
 * rule is skipped, so no such rule has a verdict; the counters go on.
 */
export const SEEN = {
  /** Destinations of TCP and UDP, with the port; and of other protocols. */
  ports: 512,
  others: 128,
} as const;

/** The sets, by what was decided. The second is of protocols without ports. */
export const SEEN_SETS = {
  deny: ['refused', 'refused_other'],
  allow: ['passed', 'passed_other'],
} as const;

/** Longer than the longest time between two looks of vmsand's; the time left tells when a packet came last. */
export const SEEN_MS = 3_600_000;

/** Where routing drops a packet before a chain that judges it has seen it (RFC 1122; `ip_route_input_slow` in Linux). */
const UNROUTABLE = '{ 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4 }';

/** Says in a chain that refuses that a packet of the guest's is about to be refused. */
export function countRefused(vm: VmNetwork): string {
  // Without a netns all is judged before routing.
  return vm.netnsPath === undefined
    ? 'jump count_refused'
    : `ip daddr != ${UNROUTABLE} jump count_refused`;
}

export function renderSeen(vm: VmNetwork): string {
  return `
  # What was decided by address, for vmsand to read: bounded, and never in a rule with a verdict.
  counter refused { }
  counter passed { }
  ${portSet('refused')}
  ${otherSet('refused_other')}
  ${portSet('passed')}
  ${otherSet('passed_other')}

  # What went to the gate is the gate's to tell.
  chain count_refused {
    ct status dnat return
    counter name "refused"
    ${update('refused')}
  }
${vm.netnsPath === undefined ? '' : unroutable(vm)}  # After the caps: the first packet of a flow that neither they nor the policy stopped.
  chain passed {
    type filter hook forward priority filter + 20; policy accept;
    iifname "${vm.tap}" ct status ! confirmed ct status ! dnat jump count_passed
  }
  chain count_passed {
    counter name "passed"
    ${update('passed')}
  }`;
}

function unroutable(vm: VmNetwork): string {
  return `  # Routing drops these before a chain has judged them.
  chain unroutable {
    type filter hook prerouting priority dstnat + 10; policy accept;
    iifname "${vm.tap}" ip daddr ${UNROUTABLE} jump count_refused
  }
`;
}

function portSet(name: string): string {
  return `set ${name} { type ipv4_addr . inet_proto . inet_service; size ${SEEN.ports}; flags dynamic, timeout; timeout ${SEEN_MS / 1000}s; counter; }`;
}

function otherSet(name: string): string {
  return `set ${name} { type ipv4_addr . inet_proto; size ${SEEN.others}; flags dynamic, timeout; timeout ${SEEN_MS / 1000}s; counter; }`;
}

function update(set: string): string {
  return `meta l4proto { tcp, udp } update @${set} { ip daddr . meta l4proto . th dport }
    meta l4proto != { tcp, udp } update @${set}_other { ip daddr . meta l4proto }`;
}
