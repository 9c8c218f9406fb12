import { NEVER_REACHABLE } from '../policy/never.ts';
import type { Policy } from '../policy/policy.ts';
import type { HostNetwork, VmNetwork } from './plan.ts';

/**
 * The whole ruleset of one VM's netns, as one transaction that replaces
 * whatever was there.
 *
 *     tap0 ─ ingress: frames ─ prerouting: resolver ─ forward: judge ─ up0
 *
 * Every flow carries the generation of the policy that accepted it as its
 * connection mark. After a change no flow has the new generation, so each is
 * judged again at its next packet, whichever side sends it: by the guest's
 * peer, which is the destination one way and the source the other.
 *
 * @param generation 1 or more: 0 is the mark of a flow nobody has judged
 */
export function renderVmRuleset(
  vm: VmNetwork,
  host: HostNetwork,
  policy: Policy,
  generation: number,
): string {
  if (!Number.isInteger(generation) || generation < 1) {
    throw new RangeError(`generation ${generation} is not a positive integer`);
  }
  const resolver = `${host.gateIp} . ${host.dnsPort}`;
  const accept = `ct mark set ${generation} accept`;
  return `
table netdev vmsan
delete table netdev vmsan
table netdev vmsan {
  # A frame is the guest's own, or it is not there.
  chain frames {
    type filter hook ingress device "${vm.tap}" priority filter; policy drop;
    ether saddr != ${vm.guestMac} drop
    ether type ip ip saddr ${vm.guestIp} accept
    ether type arp arp operation request arp saddr ether ${vm.guestMac} arp saddr ip ${vm.guestIp} arp daddr ip ${vm.gatewayIp} accept
  }
}
table inet vmsan
delete table inet vmsan
table inet vmsan {
  ${networks('vm_pools', [host.pools.subnetPool, host.pools.transitPool])}
  ${networks('never', NEVER_REACHABLE)}
  ${networks('denied', policy.denied)}
  # Entries of allowed that lie wholly inside never, or are the host's own.
  ${networks('opened', policy.opened)}
  ${networks('allowed', policy.allowed)}

  # The guest's resolver is its gateway. The gate on the host answers.
  chain resolver {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "${vm.tap}" ${resolverMatch(vm, policy)} dnat ip to ${host.gateIp}:${host.dnsPort}
  }

  # Nothing is for the netns itself.
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "${vm.tap}" goto refuse
  }

  chain forward {
    type filter hook forward priority filter; policy drop;
    meta nfproto ipv6 drop
    ct state invalid drop
    ct state established,related ct mark ${generation} accept
    iifname "${vm.tap}" oifname "${vm.uplink}" ct direction original goto outbound
    iifname "${vm.uplink}" oifname "${vm.tap}" ct state established ct direction reply goto reply
    iifname "${vm.tap}" goto refuse
  }

  # The order of policy/decide.ts, for packets of either side.
  chain outbound {
    ct status dnat ip daddr . th dport { ${resolver} } ${accept}
    ${resolvesAll(policy) ? 'meta l4proto { tcp, udp } th dport 53 goto refuse' : ''}
    ip daddr @vm_pools goto refuse
    ip daddr @denied goto refuse
    ip daddr @opened ${accept}
    ip daddr @never goto refuse
    ip daddr @allowed ${accept}
    ${policy.default === 'allow' ? accept : 'goto refuse'}
  }

  chain reply {
    ct status dnat ip saddr . th sport { ${resolver} } ${accept}
    ${resolvesAll(policy) ? 'meta l4proto { tcp, udp } th sport 53 drop' : ''}
    ip saddr @vm_pools drop
    ip saddr @denied drop
    ip saddr @opened ${accept}
    ip saddr @never drop
    ip saddr @allowed ${accept}
    ${policy.default === 'allow' ? accept : 'drop'}
  }

  # Fast, so that nothing in the guest waits for a time-out.
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmp type admin-prohibited
  }
}
`;
}

/** Whether every DNS query, to whatever server, is answered by the gate: it refuses with a reason. */
function resolvesAll(policy: Policy): boolean {
  return policy.base !== 'allow-all';
}

function resolverMatch(vm: VmNetwork, policy: Policy): string {
  return resolvesAll(policy)
    ? `meta nfproto ipv4 meta l4proto { tcp, udp } th dport 53`
    : `ip daddr ${vm.gatewayIp} meta l4proto { tcp, udp } th dport 53`;
}

function networks(name: string, cidrs: readonly string[]): string {
  const content = cidrs.length === 0 ? '' : ` elements = { ${cidrs.join(', ')} };`;
  return `set ${name} { type ipv4_addr; flags interval; auto-merge;${content} }`;
}
