import { mergeCidrs } from '../policy/cidr.ts';
import { domainMatcher } from '../policy/domain-matcher.ts';
import { parseDomain } from '../policy/domain.ts';
import { dohNetworks } from '../policy/doh.ts';
import { NEVER_REACHABLE } from '../policy/never.ts';
import type { Policy } from '../policy/policy.ts';
import { EVASIONS } from '../policy/ports.ts';
import { LEARNED_SET, renderLearned, type Learned } from './learned.ts';
import type { HostNetwork, VmNetwork } from './plan.ts';

/**
 * The parts of a VM's ruleset that say what its policy says, wherever they
 * stand: its sets, the order of judgement, and what goes to the gate.
 */

/**
 * The policy as sets, for the chains below.
 * @param published the set of published ports, where they can be
 */
export function policySets(
  host: HostNetwork,
  policy: Policy,
  learned: readonly Learned[],
  published = '',
): string {
  return joined(
    networks('vm_pools', [host.pools.subnetPool, host.pools.transitPool]),
    networks('never', NEVER_REACHABLE),
    networks('denied', policy.denied),
    "# Entries of allowed that lie wholly inside never, or are the host's own.",
    networks('opened', policy.opened),
    networks('allowed', policy.allowed),
    published,
    nameSets(policy, learned),
  );
}

/** How a packet names the peer, and how it is told no. */
export interface Side {
  address: 'daddr' | 'saddr';
  port: 'dport' | 'sport';
  /** How rules say yes and no to the packet. */
  accept: string;
  no: string;
}

/** The order of policy/decide.ts, for packets of either side; what goes to the gate is let through before. */
export function judgement(
  policy: Policy,
  { address, port, accept, no }: Side,
  /** Matches what is the host's own, where the same chains stand before it. */
  local?: string,
): string {
  const peer = `ip ${address}`;
  return lines(
    resolvesAll(policy) && `meta l4proto { tcp, udp } th ${port} 53 ${no}`,
    `${peer} @vm_pools ${no}`,
    `${peer} @denied ${no}`,
    `${peer} @opened ${accept}`,
    local !== undefined && `${local} ${no}`,
    `${peer} @never ${no}`,
    `${peer} @allowed ${accept}`,
    byName(policy) && `meta l4proto . th ${port} { ${evasions()} } ${no}`,
    // By address never: a name that is denied may have the same one.
    byName(policy) && `tcp ${port} { 80, 443 } ${no}`,
    byName(policy) && `${peer} . meta l4proto . th ${port} @${LEARNED_SET} ${accept}`,
    policy.default === 'allow' ? accept : no,
  );
}

/** Lets pass what was sent to the gate, by the address that connection tracking gave it. */
export function toGate(host: HostNetwork, policy: Policy, { address, port, accept }: Side): string {
  const gate = gatePorts(host, policy).map((each) => `${host.gateIp} . ${each}`);
  return `ct status dnat ip ${address} . th ${port} { ${gate.join(', ')} } ${accept}`;
}

/**
 * The gate's ports to which flows may go on. One that the proxy has outlives a
 * change to any policy under which the proxy may keep it: it judges them itself.
 */
export function gatePorts(host: HostNetwork, policy: Policy): number[] {
  const mayKeep = policy.default === 'allow' || byName(policy) || policy.allowed.length > 0;
  return [host.dnsPort, ...(mayKeep ? [host.httpPort, host.tlsPort] : [])];
}

export function byName(policy: Policy): boolean {
  return policy.domains.length > 0;
}

function nameSets(policy: Policy, learned: readonly Learned[]): string {
  if (!byName(policy)) return '';
  const elements = learned.map(renderLearned);
  const content = elements.length === 0 ? '' : ` elements = { ${elements.join(', ')} };`;
  return `${networks('doh', mergeCidrs(dohNetworks(policy.domains.map(parseDomain))))}
  # What names hold for ports that go by address. vmsand adds to it, and it forgets.
  set ${LEARNED_SET} { type ipv4_addr . inet_proto . inet_service; flags interval, timeout;${content} }`;
}

/**
 * What the proxy takes of TCP to ports 80 and 443: not what is judged by its address alone.
 * @param verdict what is done with it, by the proxy's port
 */
export function proxied(
  host: HostNetwork,
  policy: Policy,
  verdict: (listener: number) => string,
): string {
  const { covers } = domainMatcher(policy.domains);
  const to = (port: number, listener: number) =>
    covers('tcp', port) && `tcp dport ${port} ${verdict(listener)}`;
  return lines(
    ...['vm_pools', 'denied', 'opened', 'never', 'allowed'].map((set) => `ip daddr @${set} return`),
    'ip daddr @doh tcp dport 443 return',
    to(80, host.httpPort),
    to(443, host.tlsPort),
  );
}

/** The chains that send the guest's queries, and the web by name, to the gate. */
export function gateChains(
  vm: VmNetwork,
  host: HostNetwork,
  policy: Policy,
  priority: string,
): string {
  const named = byName(policy);
  return `
  # The guest's resolver is its gateway. The gate on the host answers.
  chain resolver {
    type nat hook prerouting priority ${priority}; policy accept;
    ${lines(
      `iifname "${vm.tap}" ${resolverMatch(vm, policy)} dnat ip to ${host.gateIp}:${host.dnsPort}`,
      named && `iifname "${vm.tap}" ${WEB} goto proxy`,
    )}
  }${
    named
      ? `
  # By name: whatever its address, unless that alone decides.
  chain proxy {
    ${proxied(host, policy, (listener) => `dnat ip to ${host.gateIp}:${listener}`)}
  }`
      : ''
  }`;
}

/** What may be the proxy's. */
export const WEB = 'meta nfproto ipv4 tcp dport { 80, 443 }';

function evasions(): string {
  return EVASIONS.map(({ protocol, first }) => `${protocol} . ${first}`).join(', ');
}

/** Rules of a chain, those that do not apply left out. */
export function lines(...rules: (string | false)[]): string {
  return rules.filter((rule) => rule !== false).join('\n    ');
}

/** Whether every DNS query, to whatever server, is answered by the gate: it refuses with a reason. */
function resolvesAll(policy: Policy): boolean {
  return policy.base !== 'allow-all';
}

export function resolverMatch(vm: VmNetwork, policy: Policy): string {
  return resolvesAll(policy)
    ? `meta nfproto ipv4 meta l4proto { tcp, udp } th dport 53`
    : `ip daddr ${vm.gatewayIp} meta l4proto { tcp, udp } th dport 53`;
}

export function networks(name: string, cidrs: readonly string[]): string {
  const content = cidrs.length === 0 ? '' : ` elements = { ${cidrs.join(', ')} };`;
  return `set ${name} { type ipv4_addr; flags interval; auto-merge;${content} }`;
}

function joined(...parts: string[]): string {
  return parts.filter((part) => part !== '').join('\n  ');
}
