import { NEVER_REACHABLE, PRIVATE_NETWORKS } from '../policy/never.ts';
import { mergeCidrs } from '../policy/cidr.ts';
import { CLOSED_FLOW_SECONDS } from './vm-caps.ts';
import type { HostNetwork, VmNetwork } from './plan.ts';

/** What the host's table holds beside its constant chains. */
export interface HostRules {
  vms: readonly VmNetwork[];
  /** Networks that no VM has yet: nothing passes their links. */
  waiting: readonly VmNetwork[];
  /** The gate's sockets are open: guests may reach them. */
  gateUp: boolean;
  /** Resolvers that the gate may ask. */
  upstreams: readonly Upstream[];
  /** Private networks, as CIDRs, that a VM's policy allows beside names: the proxy may dial them. */
  dialable: readonly string[];
  /** Addresses of the host's own that a VM's policy opens to it. */
  opened: readonly Opening[];
  /** Interfaces on which we switched forwarding on. */
  lentLinks: readonly string[];
}

export interface Opening {
  vm: VmNetwork;
  address: string;
}

export interface Upstream {
  address: string;
  port: number;
}

/**
 * The host's table: constant chains, and sets in which a VM is a few
 * elements. It judges packets from and to VM links and nothing else of the
 * host's traffic. One transaction that replaces whatever was there.
 */
export function renderHostRuleset(host: HostNetwork, rules: HostRules): string {
  const { gateIp, dnsPort, httpPort, tlsPort } = host;
  const listeners = [
    `udp . ${dnsPort}`,
    ...[dnsPort, httpPort, tlsPort].map((port) => `tcp . ${port}`),
  ];
  return `
table inet vmsan
delete table inet vmsan
table inet vmsan {
  ${set(
    'vm_links',
    'ifname',
    [...rules.vms, ...rules.waiting].map((vm) => `"${vm.hostLink}"`),
  )}
  ${set(
    'vms',
    'ifname . ipv4_addr',
    rules.vms.map((vm) => `"${vm.hostLink}" . ${vm.guestIp}`),
  )}
  ${set(
    'guests',
    'ipv4_addr',
    rules.vms.map((vm) => vm.guestIp),
  )}
  ${set(
    'listeners',
    'ipv4_addr . inet_proto . inet_service',
    rules.gateUp ? listeners.map((listener) => `${gateIp} . ${listener}`) : [],
  )}
  ${set(
    'host_open',
    'ifname . ipv4_addr',
    rules.opened.map(({ vm, address }) => `"${vm.hostLink}" . ${address}`),
  )}
  ${set(
    'upstreams',
    'ipv4_addr . inet_service',
    rules.upstreams.map(({ address, port }) => `${address} . ${port}`),
  )}
  # Where the gate dials nothing, whatever a name resolves to; and what of the second is allowed.
  ${networks('never', [host.pools.subnetPool, host.pools.transitPool, ...NEVER_REACHABLE])}
  ${networks('private', PRIVATE_NETWORKS)}
  ${networks('dialable', mergeCidrs(rules.dialable))}
  ${set(
    'lent_links',
    'ifname',
    rules.lentLinks.map((link) => `"${link}"`),
  )}

  # What a guest begins, or the gate for it, is soon forgotten when it has ended.
  ct timeout ended {
    protocol tcp
    l3proto ip
    policy = { time_wait: ${CLOSED_FLOW_SECONDS} }
  }
  ct timeout asked {
    protocol udp
    l3proto ip
    policy = { unreplied: ${CLOSED_FLOW_SECONDS}, replied: ${CLOSED_FLOW_SECONDS} }
  }

  # Before connection tracking: a VM link carries its VM's address and no
  # other, and the gate hears VM links only.
  chain sources {
    type filter hook prerouting priority raw; policy accept;
    iifname @vm_links goto known_source
    # How the gate hears that it may not dial something: see from_gate.
    iifname "lo" ip daddr ${gateIp} tcp flags rst accept
    ip daddr ${gateIp} drop
  }
  chain known_source {
    iifname . ip saddr @vms accept
    drop
  }

  # Before any DNAT of the host's: what a VM addresses to the host itself.
  chain before_dnat {
    type filter hook prerouting priority mangle; policy accept;
    iifname @vm_links meta l4proto tcp ct timeout set "ended"
    iifname @vm_links goto to_host
  }
  chain to_host {
    ip daddr . meta l4proto . th dport @listeners goto gate
    iifname . ip daddr @host_open accept
    fib daddr type local goto refuse
    fib daddr type { broadcast, anycast, multicast } drop
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname @vm_links goto listening
  }
  chain listening {
    ip daddr . meta l4proto . th dport @listeners goto gate
    iifname . ip daddr @host_open accept
    goto refuse
  }

  # Without a gate, what listens on every address of the host would be in its place.
  chain gate {
    socket wildcard 1 goto refuse
    accept
  }

  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname @vm_links goto leaving
    oifname @vm_links goto entering
    # These forward only because we need the replies; for all else they are as they were.
    iifname @lent_links drop
  }
  chain leaving {
    oifname @vm_links goto refuse
    tcp flags syn tcp option maxseg size set rt mtu
  }
  chain entering {
    ct state established,related accept
    ct status dnat accept
    drop
  }

  # The gate reads hostile bytes: it talks to guests, to its resolvers, and for
  # guests to the public web, from its own address.
  chain output {
    type filter hook output priority filter; policy accept;
    meta skuid ${host.gateUid} goto from_gate
    # The sockets it was handed are those of who opened them: root. A refusal of
    # what it dials at its own address is no dialling.
    ip saddr ${gateIp} ip daddr ${gateIp} tcp flags rst accept
    ip saddr ${gateIp} goto from_gate
  }
  chain from_gate {
    meta l4proto tcp ct timeout set "ended"
    meta l4proto udp ct timeout set "asked"
    oifname @vm_links ct state established,related accept
    ip daddr . th dport @upstreams accept
    fib daddr type { local, broadcast, anycast, multicast } goto refuse
    ip daddr @never goto refuse
    ip daddr @dialable ip saddr ${gateIp} tcp dport { 80, 443 } accept
    ip daddr @private goto refuse
    ip saddr ${gateIp} tcp dport { 80, 443 } accept
    goto refuse
  }

  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr @guests oifname != @vm_links masquerade
    ip saddr ${gateIp} oifname != @vm_links masquerade
  }

  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject with icmpx type admin-prohibited
  }
}
`;
}

/** Takes the host's table away; not having it is no error. */
export const NO_HOST_RULESET = `
table inet vmsan
delete table inet vmsan
`;

function networks(name: string, cidrs: readonly string[]): string {
  const content = cidrs.length === 0 ? '' : ` elements = { ${cidrs.join(', ')} };`;
  return `set ${name} { type ipv4_addr; flags interval; auto-merge;${content} }`;
}

function set(name: string, type: string, elements: readonly string[]): string {
  const content = elements.length === 0 ? '' : ` elements = { ${elements.join(', ')} };`;
  return `set ${name} { type ${type};${content} }`;
}
