import type { HostNetwork, VmNetwork } from './plan.ts';

/** What one VM may take of the tables that all VMs fill. */
export interface Caps {
  /** Flows open at once. */
  flows: number;
  /** New flows a second; twice as many at a stretch. */
  newFlowsPerSecond: number;
  /** Packets a second to the gate's resolver; as many at a stretch. */
  queriesPerSecond: number;
}

/**
 * A flow stands in the host's connection tracking too, whose size all share:
 * 262 144 on a host with 4 GiB or more (nf_conntrack-sysctl). What is closed
 * counts no more and stays for `CLOSED_FLOW_SECONDS`, so one VM holds at most
 * 4096 + 2 x 500 + 10 x 500 of them.
 */
export const CAPS: Caps = { flows: 4096, newFlowsPerSecond: 500, queriesPerSecond: 1000 };

/** How long connection tracking remembers a TCP flow that has ended; by default two minutes. */
export const CLOSED_FLOW_SECONDS = 10;

/**
 * The caps of a VM: a table of its own, which no change of policy
 * touches, so that flows stay counted. Loading it again replaces its rules and
 * keeps what is counted.
 *
 * It comes after the policy in the same hook, where accepting means passing
 * on: it sees what the policy let through, and can only take away. A deny never
 * stands in a rule that counts: when a set is full, the rest of the rule that
 * adds to it is skipped.
 */
export function renderVmCaps(vm: VmNetwork, host: HostNetwork, caps: Caps = CAPS): string {
  const { flows, newFlowsPerSecond, queriesPerSecond } = caps;
  const queries = `ip daddr . th dport { ${host.gateIp} . ${host.dnsPort} } limit rate over ${queriesPerSecond}/second burst ${queriesPerSecond} packets goto too_many_queries`;
  const inNetns = `chain forward {
    type filter hook forward priority filter + 10; policy accept;
    iifname "${vm.tap}" ${queries}
    # The first packet of a flow: connection tracking confirms it after all chains.
    iifname "${vm.tap}" ct status ! confirmed goto new_flow
  }`;
  // There the gate is on the same host: what goes to it is not forwarded.
  const inHost = `chain input {
    type filter hook input priority filter + 10; policy accept;
    iifname "${vm.tap}" ${queries}
    iifname "${vm.tap}" ct status ! confirmed goto new_flow
  }
  chain forward {
    type filter hook forward priority filter + 10; policy accept;
    iifname "${vm.tap}" ct status ! confirmed goto new_flow
  }`;
  return `
table inet ${vm.capsTable}
flush table inet ${vm.capsTable}
table inet ${vm.capsTable} {
  # The guest's address, and with it its flows that are not closed.
  set open_flows { type ipv4_addr; size 1; flags dynamic; }
  counter queries_over { }
  counter new_flows_over { }
  counter open_flows_over { }

  ${vm.netnsPath === undefined ? inHost : inNetns}

  chain new_flow {
    limit rate over ${newFlowsPerSecond}/second burst ${2 * newFlowsPerSecond} packets goto too_many_new
    add @open_flows { ip saddr ct count over ${flows} } goto too_many_open
  }

  # Each cap says that it was reached.
  chain too_many_queries {
    counter name "queries_over"
    drop
  }
  chain too_many_new {
    counter name "new_flows_over"
    drop
  }
  chain too_many_open {
    counter name "open_flows_over"
    meta l4proto tcp reject with tcp reset
    reject with icmp type admin-prohibited
  }
}
`;
}
