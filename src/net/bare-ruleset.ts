import type { Policy } from '../policy/policy.ts';
import type { Learned } from './learned.ts';
import { CLEAR_BITS, flowMark, hasBits, JUDGED, setBits, TO_GATE } from './marks.ts';
import type { HostNetwork, VmNetwork } from './plan.ts';
import {
  byName,
  gateChains,
  gatePorts,
  judgement,
  lines,
  policySets,
  proxied,
  resolverMatch,
  toGate,
  WEB,
  type Side,
} from './vm-judgement.ts';
import { countRefused, renderSeen } from './vm-seen.ts';

/**
 * The ruleset of a VM without a netns of its own, as a table of the host's
 * namespace. Its base chains accept: they pick what comes from or goes to the
 * VM's TAP, whose chains end in a verdict, and judge nothing else of the host.
 *
 *     <id> ─ ingress: frames ─ prerouting: judge; resolver, proxy ─┬─ forward ─ uplinks
 *                                                                  └─ input: the gate
 *
 * The order is the same as in a netns, at another place: before any DNAT,
 * since the host may have rules for that of its own. What is let through has a
 * bit in its mark, without which the host routes nothing that comes from the
 * TAP (prohibition.ts): when somebody flushes these rules, nothing passes.
 */
export function renderBareRuleset(
  vm: VmNetwork,
  host: HostNetwork,
  policy: Policy,
  generation: number,
  learned: readonly Learned[],
  since: number,
): string {
  const { is, set } = flowMark(vm, generation, since);
  const pass = `${setBits(JUDGED)} accept`;
  const out: Side = {
    address: 'daddr',
    port: 'dport',
    accept: `${set} ${pass}`,
    no: 'goto refuse',
  };
  const back: Side = { address: 'saddr', port: 'sport', accept: `${set} accept`, no: 'drop' };
  // nft 1.0.6 knows a port's byte order only beside one protocol, and in no set.
  const sentToGate = (protocol: 'tcp' | 'udp', port: number) =>
    `meta l4proto ${protocol} ct status dnat ct reply ip saddr ${host.gateIp} ct reply proto-src ${port} ${out.accept}`;
  const begun = `${set} ${setBits(JUDGED | TO_GATE)} accept`;
  return `
table inet ${vm.table}
delete table inet ${vm.table}
table inet ${vm.table} {
  ${policySets(host, policy, learned)}
${gateChains(vm, host, policy, 'dstnat - 10')}
${renderSeen(vm)}

  chain sent {
    type filter hook prerouting priority mangle - 10; policy accept;
    iifname "${vm.tap}" goto from_guest
  }
  chain from_guest {
    meta nfproto != ipv4 drop
    ct state invalid drop
    # In a netns of its own such a packet is invalid (nf_conntrack_tcp_loose).
    ct status ! confirmed tcp flags & (fin | syn | rst | ack) != syn drop
    ct state established ${is} ${pass}
    # Errors alone: the host may have helpers, whose flows are related too.
    ct state related meta l4proto icmp ${is} ${pass}
    ct direction original goto outbound
    goto refuse
  }

  # The order of policy/decide.ts, for packets of either side.
  chain outbound {
    ${lines(
      sentToGate('udp', host.dnsPort),
      ...gatePorts(host, policy).map((port) => sentToGate('tcp', port)),
      // The first packet of a flow: it alone meets the chains above.
      `ct status ! confirmed ${resolverMatch(vm, policy)} ${begun}`,
      byName(policy) && `ct status ! confirmed ${WEB} jump named`,
      judgement(policy, out, 'fib daddr type { local, broadcast, anycast, multicast }'),
    )}
  }
  ${
    byName(policy)
      ? `# What chain proxy takes.
  chain named {
    ${proxied(host, policy, () => begun)}
  }
`
      : ''
  }
  # On the host: the gate, and what a policy opened by its address.
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "${vm.tap}" goto arriving
  }
  chain arriving {
    ${hasBits(JUDGED, false)} goto refuse
    ${CLEAR_BITS}
    ${toGate(host, { ...policy, default: 'allow' }, { ...out, accept: 'accept' })}
    ip daddr @opened accept
    goto refuse
  }

  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname "${vm.tap}" goto leaving
    oifname "${vm.tap}" goto entering
  }
  chain leaving {
    ${hasBits(JUDGED, false)} goto refuse
    # Somebody else's DNAT came first.
    ${hasBits(TO_GATE, true)} goto refuse
    ${CLEAR_BITS}
    accept
  }
  chain entering {
    meta nfproto != ipv4 drop
    ct state established ${is} accept
    ct state related meta l4proto icmp ${is} accept
    ct state established ct direction reply goto answered
    drop
  }

  # From the host itself: answers of the gate and of what is opened, and errors.
  chain output {
    type filter hook output priority filter; policy accept;
    oifname "${vm.tap}" goto from_host
  }
  chain from_host {
    ct state established ct direction reply ${is} accept
    ct state established ct direction reply goto answered
    ct state { related, invalid } meta l4proto icmp accept
    ct state related tcp flags & rst == rst accept
    drop
  }
  chain answered {
    ${toGate(host, policy, back)}
    ${judgement(policy, back, 'fib saddr type local')}
  }

  # Fast, so that nothing in the guest waits for a time-out.
  chain refuse {
    ${countRefused(vm)}
    meta l4proto tcp reject with tcp reset
    reject with icmp type admin-prohibited
  }
}
`;
}
