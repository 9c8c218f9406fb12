import { NEVER_REACHABLE, PRIVATE_NETWORKS } from '../policy/never.ts';
import { mergeCidrs } from '../policy/cidr.ts';
import type { PublishedPort } from '../policy/published-ports.ts';
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
  /** Ports of the host's that lead to guests; no two the same. */
  published: readonly Publication[];
  /** Interfaces on which we switched forwarding on. */
  lentLinks: readonly string[];
}

export interface Opening {
  vm: VmNetwork;
  address: string;
}

export interface Publication {
  vm: VmNetwork;
  port: PublishedPort;
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
  # Those without a netns behind them: a table of the VM's own judges what it sends, before this one.
  ${set(
    'bare_links',
    'ifname',
    rules.vms.filter((vm) => vm.netns === undefined).map((vm) => `"${vm.hostLink}"`),
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
  # Published ports: those on every address of the host's, those on one, and where they lead.
  ${map(
    'published',
    'inet_proto . inet_service : ipv4_addr . inet_service',
    rules.published
      .filter(({ port }) => port.address === null)
      .map(({ vm, port }) => `${hostSide(port)} : ${vm.guestIp} . ${port.guestPort}`),
  )}
  ${map(
    'published_at',
    'ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service',
    rules.published
      .filter(({ port }) => port.address !== null)
      .map(
        ({ vm, port }) => `${port.address} . ${hostSide(port)} : ${vm.guestIp} . ${port.guestPort}`,
      ),
  )}
  ${set('published_to', 'ipv4_addr . inet_proto . inet_service', [
    ...new Set(
      rules.published.map(({ vm, port }) => `${vm.guestIp} . ${port.protocol} . ${port.guestPort}`),
    ),
  ])}
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
    # A link with published ports carries answers to 127.0.0.1 (route_localnet); none is sent to it.
    iifname != "lo" ip daddr 127.0.0.0/8 drop
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
    iifname @bare_links accept
    iifname @vm_links goto to_host
  }
  chain to_host {
    # Answers to who came by a published port from the host itself.
    ct state established,related ct direction reply ct status dnat accept
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
    ct state established,related ct direction reply ct status dnat accept
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
    # By a published port, and no other way.
    ct status dnat ip daddr . meta l4proto . th dport @published_to accept
    drop
  }

  # Not from VMs: no guest reaches another by way of the host.
  chain publish {
    type nat hook prerouting priority dstnat; policy accept;
    iifname != @vm_links fib daddr type local goto to_guest
  }
  # dstnat has no name in this hook.
  chain publish_here {
    type nat hook output priority -100; policy accept;
    meta skuid ${host.gateUid} return
    ip saddr ${gateIp} return
    fib daddr type local goto to_guest
  }
  chain to_guest {
    dnat ip to ip daddr . meta l4proto . th dport map @published_at
    dnat ip to meta l4proto . th dport map @published
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
    # By address: what is turned here has not left its first interface yet.
    ip daddr @guests goto entering
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

  # What is for a guest whose link is gone goes nowhere else.
  chain astray {
    type filter hook postrouting priority filter; policy accept;
    ip daddr @guests oifname != @vm_links drop
  }

  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr @guests oifname != @vm_links masquerade
    ip saddr ${gateIp} oifname != @vm_links masquerade
    # 127.0.0.1 is the guest's own there.
    ip saddr 127.0.0.0/8 oifname @vm_links masquerade
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
  return `set ${name} ${content(type, elements)}`;
}

function map(name: string, type: string, elements: readonly string[]): string {
  return `map ${name} ${content(type, elements)}`;
}

function content(type: string, elements: readonly string[]): string {
  const list = elements.length === 0 ? '' : ` elements = { ${elements.join(', ')} };`;
  return `{ type ${type};${list} }`;
}

function hostSide({ protocol, hostPort }: PublishedPort): string {
  return `${protocol} . ${hostPort}`;
}
