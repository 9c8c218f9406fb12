import type { Policy } from '../policy/policy.ts';
import { renderBareRuleset } from './bare-ruleset.ts';
import type { Learned } from './learned.ts';
import { flowMark } from './marks.ts';
import type { PublishedPort } from '../policy/published-ports.ts';
import type { HostNetwork, VmNetwork } from './plan.ts';
import { gateChains, judgement, policySets, toGate, type Side } from './vm-judgement.ts';
import { countRefused, renderSeen } from './vm-seen.ts';

/**
 * The policy of one VM, as one transaction that replaces whatever was there: in
 * its netns, drawn here; or, without one, in the host's (bare-ruleset.ts).
 * Frames (`vm-frames.ts`), caps and counters have tables of their own.
 *
 *     tap0 ─ ingress: frames ─ prerouting: resolver, proxy ─ forward: judge, caps, seen ─ up0
 *
 * Every flow carries the generation of the policy that accepted it as its
 * connection mark. After a change no flow has the new generation, so each is
 * judged again at its next packet, whichever side sends it: by the guest's
 * peer, which is the destination one way and the source the other.
 *
 * @param generation 1 or more: 0 is the mark of a flow nobody has judged
 * @param learned what allowed names hold already, under domain rules
 * @param since the first generation whose flows go on unjudged: `generation`,
 *   unless the changes from there to here only widened
 * @param published whose flows are the policy's no more than their answers are
 */
export function renderVmRuleset(
  vm: VmNetwork,
  host: HostNetwork,
  policy: Policy,
  generation: number,
  learned: readonly Learned[] = [],
  since = generation,
  published: readonly PublishedPort[] = [],
): string {
  if (vm.netnsPath === undefined) {
    return renderBareRuleset(vm, host, policy, generation, learned, since);
  }
  const { is, set } = flowMark(vm, generation, since);
  const accept = `${set} accept`;
  const out: Side = { address: 'daddr', port: 'dport', accept, no: 'goto refuse' };
  const back: Side = { address: 'saddr', port: 'sport', accept, no: 'drop' };
  return `
table inet vmsan
delete table inet vmsan
table inet vmsan {
  ${policySets(host, policy, learned, publishedSet(published))}
${gateChains(vm, host, policy, 'dstnat')}
${renderSeen(vm)}

  # Nothing is for the netns itself.
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "${vm.tap}" goto refuse
  }

  chain forward {
    type filter hook forward priority filter; policy drop;
    meta nfproto ipv6 drop
    ct state invalid drop
    ct state established,related ${is} accept
    iifname "${vm.tap}" oifname "${vm.uplink}" ct direction original goto outbound
    iifname "${vm.uplink}" oifname "${vm.tap}" ct state established ct direction reply goto reply
    iifname "${vm.uplink}" oifname "${vm.tap}" ct direction original goto entering
    iifname "${vm.tap}" oifname "${vm.uplink}" ct direction reply goto answering
    iifname "${vm.tap}" goto refuse
  }

  # The order of policy/decide.ts, for packets of either side.
  chain outbound {
    ${toGate(host, policy, out)}
    ${judgement(policy, out)}
  }

  chain reply {
    ${toGate(host, policy, back)}
    ${judgement(policy, back)}
  }

  # Others begin flows with published ports, under every policy; the guest answers them.
  chain entering {
    meta l4proto . th dport @published ${accept}
    # It was published when this began.
    ct state established meta l4proto tcp reject with tcp reset
    drop
  }

  chain answering {
    meta l4proto . th sport @published ${accept}
    goto refuse
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

function publishedSet(ports: readonly PublishedPort[]): string {
  const elements = new Set(ports.map(({ protocol, guestPort }) => `${protocol} . ${guestPort}`));
  const content = elements.size === 0 ? '' : ` elements = { ${[...elements].join(', ')} };`;
  return `set published { type inet_proto . inet_service;${content} }`;
}
