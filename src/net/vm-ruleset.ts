import { mergeCidrs } from '../policy/cidr.ts';
import { domainMatcher } from '../policy/domain-matcher.ts';
import { parseDomain } from '../policy/domain.ts';
import { dohNetworks } from '../policy/doh.ts';
import { NEVER_REACHABLE } from '../policy/never.ts';
import type { Policy } from '../policy/policy.ts';
import { EVASIONS } from '../policy/ports.ts';
import type { PublishedPort } from '../policy/published-ports.ts';
import { LEARNED_SET, renderLearned, type Learned } from './learned.ts';
import type { HostNetwork, VmNetwork } from './plan.ts';
import { COUNT_REFUSED, renderSeen } from './vm-seen.ts';

/**
 * The policy of one VM's netns, as one transaction that replaces whatever was
 * there. Frames (`vm-frames.ts`), caps and counters have tables of their own.
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
  if (!Number.isInteger(generation) || generation < 1) {
    throw new RangeError(`generation ${generation} is not a positive integer`);
  }
  const accept = `ct mark set ${generation} accept`;
  const inForce = since === generation ? `${generation}` : `${since}-${generation}`;
  return `
table inet vmsan
delete table inet vmsan
table inet vmsan {
  ${networks('vm_pools', [host.pools.subnetPool, host.pools.transitPool])}
  ${networks('never', NEVER_REACHABLE)}
  ${networks('denied', policy.denied)}
  # Entries of allowed that lie wholly inside never, or are the host's own.
  ${networks('opened', policy.opened)}
  ${networks('allowed', policy.allowed)}
  ${publishedSet(published)}
  ${nameSets(policy, learned)}

  # The guest's resolver is its gateway. The gate on the host answers.
  chain resolver {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "${vm.tap}" ${resolverMatch(vm, policy)} dnat ip to ${host.gateIp}:${host.dnsPort}
    ${byName(policy) ? `iifname "${vm.tap}" meta nfproto ipv4 tcp dport { 80, 443 } goto proxy` : ''}
  }
  ${proxyChain(host, policy)}
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
    ct state established,related ct mark ${inForce} accept
    iifname "${vm.tap}" oifname "${vm.uplink}" ct direction original goto outbound
    iifname "${vm.uplink}" oifname "${vm.tap}" ct state established ct direction reply goto reply
    iifname "${vm.uplink}" oifname "${vm.tap}" ct direction original goto entering
    iifname "${vm.tap}" oifname "${vm.uplink}" ct direction reply goto answering
    iifname "${vm.tap}" goto refuse
  }

  # The order of policy/decide.ts, for packets of either side.
  chain outbound {
    ${judgement(host, policy, accept, { address: 'daddr', port: 'dport', no: 'goto refuse' })}
  }

  chain reply {
    ${judgement(host, policy, accept, { address: 'saddr', port: 'sport', no: 'drop' })}
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
    ${COUNT_REFUSED}
    meta l4proto tcp reject with tcp reset
    reject with icmp type admin-prohibited
  }
}
`;
}

/** How a packet names the peer, and how it is told no. */
interface Side {
  address: 'daddr' | 'saddr';
  port: 'dport' | 'sport';
  no: string;
}

function judgement(
  host: HostNetwork,
  policy: Policy,
  accept: string,
  { address, port, no }: Side,
): string {
  const peer = `ip ${address}`;
  const gate = gatePorts(host, policy).map((each) => `${host.gateIp} . ${each}`);
  return lines(
    `ct status dnat ${peer} . th ${port} { ${gate.join(', ')} } ${accept}`,
    resolvesAll(policy) && `meta l4proto { tcp, udp } th ${port} 53 ${no}`,
    `${peer} @vm_pools ${no}`,
    `${peer} @denied ${no}`,
    `${peer} @opened ${accept}`,
    `${peer} @never ${no}`,
    `${peer} @allowed ${accept}`,
    byName(policy) && `meta l4proto . th ${port} { ${evasions()} } ${no}`,
    // By address never: a name that is denied may have the same one.
    byName(policy) && `tcp ${port} { 80, 443 } ${no}`,
    byName(policy) && `${peer} . meta l4proto . th ${port} @${LEARNED_SET} ${accept}`,
    policy.default === 'allow' ? accept : no,
  );
}

/**
 * The gate's ports to which flows may go on. One that the proxy has outlives a
 * change to any policy under which the proxy may keep it: it judges them itself.
 */
function gatePorts(host: HostNetwork, policy: Policy): number[] {
  const mayKeep = policy.default === 'allow' || byName(policy) || policy.allowed.length > 0;
  return [host.dnsPort, ...(mayKeep ? [host.httpPort, host.tlsPort] : [])];
}

function byName(policy: Policy): boolean {
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

function publishedSet(ports: readonly PublishedPort[]): string {
  const elements = new Set(ports.map(({ protocol, guestPort }) => `${protocol} . ${guestPort}`));
  const content = elements.size === 0 ? '' : ` elements = { ${[...elements].join(', ')} };`;
  return `set published { type inet_proto . inet_service;${content} }`;
}

/** What is judged by its address alone is left to the forward chain; the rest of the web is the proxy's. */
function proxyChain(host: HostNetwork, policy: Policy): string {
  if (!byName(policy)) return '';
  const { covers } = domainMatcher(policy.domains);
  const to = (port: number, listener: number) =>
    covers('tcp', port) && `tcp dport ${port} dnat ip to ${host.gateIp}:${listener}`;
  return `
  # By name: whatever its address, unless that alone decides.
  chain proxy {
    ${lines(
      ...['vm_pools', 'denied', 'opened', 'never', 'allowed'].map(
        (set) => `ip daddr @${set} return`,
      ),
      'ip daddr @doh tcp dport 443 return',
      to(80, host.httpPort),
      to(443, host.tlsPort),
    )}
  }`;
}

function evasions(): string {
  return EVASIONS.map(({ protocol, first }) => `${protocol} . ${first}`).join(', ');
}

/** Rules of a chain, those that do not apply left out. */
function lines(...rules: (string | false)[]): string {
  return rules.filter((rule) => rule !== false).join('\n    ');
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
