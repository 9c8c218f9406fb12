import { JUDGED, setBits } from './marks.ts';
import type { VmNetwork } from './plan.ts';

/**
 * Which frames of a guest's are there at all: its own. The same under every
 * policy. Loading it again replaces the rules and keeps what is counted.
 *
 * What is dropped is counted by its reason, in rules without a verdict.
 */
export function renderVmFrames(vm: VmNetwork): string {
  // Who is asked for an address looks up whether it is routed, too: see prohibition.ts.
  const answer = vm.netnsPath === undefined ? `${setBits(JUDGED)} accept` : 'accept';
  return `
table netdev ${vm.table}
flush table netdev ${vm.table}
table netdev ${vm.table} {
  counter foreign_mac { }
  counter foreign_ip { }
  counter foreign_arp { }
  counter ipv6_frame { }
  counter vlan_frame { }
  counter other_frame { }

  # A frame is the guest's own, or it is not there.
  chain frames {
    type filter hook ingress device "${vm.tap}" priority filter; policy drop;
    ether saddr != ${vm.guestMac} counter name "foreign_mac"
    ether saddr != ${vm.guestMac} drop
    ether type ip ip saddr ${vm.guestIp} accept
    ether type arp arp operation request arp saddr ether ${vm.guestMac} arp saddr ip ${vm.guestIp} arp daddr ip ${vm.gatewayIp} ${answer}
    ether type ip counter name "foreign_ip"
    ether type arp counter name "foreign_arp"
    ether type ip6 counter name "ipv6_frame"
    ether type { 8021q, 8021ad } counter name "vlan_frame"
    ether type != { ip, arp, ip6, 8021q, 8021ad } counter name "other_frame"
  }
}
`;
}
