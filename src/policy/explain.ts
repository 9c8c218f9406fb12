import ipaddr from 'ipaddr.js';
import { decide, type Packet, type VmSurroundings } from './decide.ts';
import { domainMatcher } from './domain-matcher.ts';
import { quoted, writtenName } from './domain.ts';
import { PolicyError } from './error.ts';
import { nameVerdict } from './name-verdict.ts';
import type { Policy } from './policy.ts';
import { holdsPort } from './ports.ts';

/** What somebody asks about: a name or an address, and the ports that matter. */
export interface Target {
  readonly name?: string;
  readonly address?: string;
  readonly packets: readonly Omit<Packet, 'destination'>[];
}

/** One of the things that a program in the guest would do. */
export interface Judgement {
  /** `lookup`, `tcp 443`, `icmp`. */
  readonly what: string;
  /** `proxy`: its name decides, which an address alone does not say. */
  readonly verdict: 'allow' | 'deny' | 'proxy';
  /** As users know it; empty when none decided. */
  readonly rule: string;
  readonly reason: string;
}

const WEB = [443, 80].map((port) => ({ protocol: 'tcp', port }) as const);
const SCHEMES: Readonly<Record<string, number>> = { https: 443, http: 80 };

/**
 * Reads a URL, `host[:port][/udp]` or `ip[:port][/udp]`.
 * @throws PolicyError
 */
export function parseTarget(text: string): Target {
  const url = /^(https?):\/\/([^/?#@]+)(?:[/?#].*)?$/i.exec(text);
  const [, host = '', port, udp] =
    /^([^:/]+)(?::(\d{1,5}))?(\/udp|\/tcp)?$/.exec(url?.[2] ?? text) ?? [];
  const protocol = udp === '/udp' ? 'udp' : 'tcp';
  const number = Number(port ?? SCHEMES[url?.[1]?.toLowerCase() ?? ''] ?? NaN);
  const isAddress = ipaddr.IPv4.isValidFourPartDecimal(host);
  const name = isAddress ? null : writtenName(host);
  const wrongPort = port !== undefined && (number < 1 || number > 65_535);
  if (host === '' || wrongPort || (!isAddress && name === null) || (udp && port === undefined)) {
    throw new PolicyError(
      `${quoted(text)} is nothing that a VM could reach`,
      'a URL, a name or an IPv4 address, with a port if you like: example.com:22, 192.0.2.7:53/udp',
    );
  }
  const every = isAddress ? [...WEB, { protocol: 'icmp' } as const] : WEB;
  const packets = Number.isNaN(number) ? every : [{ protocol, port: number } as const];
  return name === null ? { address: host, packets } : { name, packets };
}

/**
 * What a policy makes of a target: by the functions that enforce it.
 * @param held the addresses that the name holds right now
 */
export function explain(
  policy: Policy,
  { name, address, packets }: Target,
  world: VmSurroundings,
  held: readonly string[] = [],
): Judgement[] {
  if (address !== undefined) {
    return packets.map((packet) => {
      const { verdict, rule, reason } = decide(policy, { ...packet, destination: address }, world);
      const ours = verdict === 'resolver' || verdict === 'proxy';
      return { what: wordsOf(packet), verdict: ours ? 'proxy' : verdict, rule, reason };
    });
  }
  if (name === undefined) return [];
  const lookup = nameVerdict(policy, { name });
  return [
    { what: 'lookup', ...judgementOf(lookup) },
    ...packets.map((packet) => ({
      what: wordsOf(packet),
      ...reach(policy, name, packet, world, held),
    })),
  ];
}

function reach(
  policy: Policy,
  name: string,
  packet: Omit<Packet, 'destination'>,
  world: VmSurroundings,
  held: readonly string[],
): Omit<Judgement, 'what'> {
  const { protocol, port } = packet;
  const lookup = nameVerdict(policy, { name });
  if (!lookup.allow || port === undefined || (protocol !== 'tcp' && protocol !== 'udp')) {
    return judgementOf(lookup);
  }
  const matcher = domainMatcher(policy.domains);
  if (policy.domains.length === 0) {
    return { verdict: 'allow', rule: 'default', reason: 'its address decides, when it has one' };
  }
  if (protocol === 'tcp' && (port === 80 || port === 443)) {
    const verdict = judgementOf(nameVerdict(policy, { name, port }));
    return verdict.verdict === 'allow' ? { ...verdict, reason: 'through the proxy' } : verdict;
  }
  const rule = matcher.match(name, protocol, port);
  if (rule === undefined || !holdsPort(matcher.leased(name), protocol, port)) {
    const [judged] = held.map((address) =>
      decide(policy, { ...packet, destination: address }, world),
    );
    const reason = judged?.reason ?? `no rule allows ${name} at ${wordsOf(packet)}`;
    return { verdict: judged?.verdict === 'allow' ? 'allow' : 'deny', rule: '', reason };
  }
  const now = held.length === 0 ? 'once it is looked up' : held.join(' ');
  return { verdict: 'allow', rule: rule.text, reason: `by address: ${now}` };
}

function judgementOf(verdict: ReturnType<typeof nameVerdict>): Omit<Judgement, 'what'> {
  return verdict.allow
    ? { verdict: 'allow', rule: verdict.rule, reason: 'its name is allowed' }
    : { verdict: 'deny', rule: '', reason: verdict.reason };
}

function wordsOf({ protocol, port }: Omit<Packet, 'destination'>): string {
  return port === undefined ? protocol : `${protocol} ${port}`;
}
