import { NEVER_REACHABLE } from './never.ts';
import type { HostNetwork, VmNetwork } from './plan.ts';

/** The part of a VM's policy that the kernel enforces. */
export interface PacketPolicy {
  base: 'allow-all' | 'deny-all';
}

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
  policy: PacketPolicy,
  generation: number,
): string {
  if (!Number.isInteger(generation) || generation < 1) {
    throw new RangeError(`generation ${generation} is not a positive integer`);
  }
  const resolver = `${host.gateIp} . ${host.dnsPort}`;
  const never = [...NEVER_REACHABLE, host.pools.subnetPool, host.pools.transitPool];
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
  set never {
    type ipv4_addr; flags interval; auto-merge
    elements = { ${never.join(', ')} }
  }

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

  chain outbound {
    ct status dnat ip daddr . th dport { ${resolver} } ct mark set ${generation} accept
    ip daddr @never goto refuse
    ${defaultVerdict(policy, generation, 'goto refuse')}
  }

  chain reply {
    ct status dnat ip saddr . th sport { ${resolver} } ct mark set ${generation} accept
    ip saddr @never drop
    ${defaultVerdict(policy, generation, 'drop')}
  }

  # Fast, so that nothing in the guest waits for a time-out.
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmp type admin-prohibited
  }
}
`;
}

/** Under deny-all every DNS query, to whatever server, gets the gate's refusal and its reason. */
function resolverMatch(vm: VmNetwork, policy: PacketPolicy): string {
  switch (policy.base) {
    case 'allow-all':
      return `ip daddr ${vm.gatewayIp} meta l4proto { tcp, udp } th dport 53`;
    case 'deny-all':
      return `meta nfproto ipv4 meta l4proto { tcp, udp } th dport 53`;
  }
}

function defaultVerdict(policy: PacketPolicy, generation: number, denied: string): string {
  switch (policy.base) {
    case 'allow-all':
      return `ct mark set ${generation} accept`;
    case 'deny-all':
      return denied;
  }
}
