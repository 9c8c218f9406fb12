import { contains, mergeCidrs, readCidrs } from './cidr.ts';
import { domainNotices, parseDomains } from './domain-list.ts';
import { PolicyError } from './error.ts';
import { CLOSED_NETWORKS } from './never.ts';

export { PolicyError } from './error.ts';

export const POLICY_BASES = ['allow-all', 'deny-all', 'custom'] as const;
export type PolicyBase = (typeof POLICY_BASES)[number];

/** What a VM may reach, as a domain value. CIDRs are canonical, sorted, none inside another. */
export interface Policy {
  readonly base: PolicyBase;
  /** What happens to a packet that no list names. */
  readonly default: 'allow' | 'deny';
  readonly allowed: readonly string[];
  readonly denied: readonly string[];
  /** The allowed entries that open a part of what guests otherwise never reach. */
  readonly opened: readonly string[];
  /** Allowed names, canonical and sorted; with any, the default is to deny. */
  readonly domains: readonly string[];
}

export const ALLOW_ALL: Policy = bare('allow-all', 'allow');
export const DENY_ALL: Policy = bare('deny-all', 'deny');

/** What `vmsan create` gives without a flag. */
export const DEFAULT_POLICY = ALLOW_ALL;

/** A policy in the user's words. */
export interface PolicyWords {
  /** `--network-policy`; empty or absent when it was not said. */
  base?: string;
  /** Each of these may hold several, between commas. */
  allowedDomains?: readonly string[];
  allowedCidrs?: readonly string[];
  deniedCidrs?: readonly string[];
}

/** What of the world a policy's meaning depends on. */
export interface Surroundings {
  /** The networks of VMs, which no VM may reach. CIDRs. */
  vmPools: readonly string[];
  /** The host's addresses as of now. */
  hostAddresses: readonly string[];
}

export const NOWHERE: Surroundings = { vmPools: [], hostAddresses: [] };

/** A policy, and what the user should be told of how their words were read. */
export interface ReadPolicy {
  policy: Policy;
  notices: string[];
}

/**
 * Reads a policy from its parts (DESIGN: policy semantics). A base with a list
 * becomes `custom`; its default is to deny when the base is deny-all or
 * anything is listed as allowed.
 * @throws PolicyError
 */
export function readPolicy(words: PolicyWords, world: Surroundings = NOWHERE): ReadPolicy {
  const base = words.base === undefined || words.base === '' ? undefined : readBase(words.base);
  const entries = readCidrs(words.allowedCidrs ?? []);
  const allowed = mergeCidrs(entries);
  const denied = mergeCidrs(readCidrs(words.deniedCidrs ?? []));
  const domains = parseDomains(words.allowedDomains ?? []);
  const allows = allowed.length > 0 || domains.length > 0;
  if (!allows && denied.length === 0) {
    if (base === 'custom') {
      throw new PolicyError(
        '"custom" needs a list of what to allow or deny',
        'add --allowed-domain, --allowed-cidr or --denied-cidr, or use allow-all or deny-all',
      );
    }
    return { policy: base === 'deny-all' ? DENY_ALL : ALLOW_ALL, notices: [] };
  }
  const opened = mergeCidrs(entries.filter((entry) => opens(entry, world)));
  const policy: Policy = {
    base: 'custom',
    default: base === 'deny-all' || allows ? 'deny' : 'allow',
    allowed,
    denied,
    opened,
    domains: domains.map(({ text }) => text),
  };
  return { policy, notices: [...noticesOf(base, policy), ...domainNotices(domains)] };
}

/** Reads a base by its name. @throws PolicyError */
export function readBase(text: string): PolicyBase {
  const base = POLICY_BASES.find((known) => known === text);
  if (base !== undefined) return base;
  throw new PolicyError(
    `"${text}" is not a network policy`,
    `use ${POLICY_BASES.slice(0, -1).join(', ')} or ${POLICY_BASES.at(-1)}`,
  );
}

/** True when guests under this policy have names resolved, all or those that it allows. */
export function resolvesNames(policy: Policy): boolean {
  return policy.default === 'allow' || policy.domains.length > 0;
}

/** The flags that give this policy, for a command to type. */
export function policyFlags(policy: Policy): string {
  const { base, default: verdict, allowed, denied, domains } = policy;
  const bare = allowed.length === 0 && domains.length === 0;
  const named = base === 'custom' && bare && verdict === 'deny' ? 'deny-all' : base;
  return [
    `--network-policy ${named}`,
    // In quotes, or the shell would read the "*".
    ...(domains.length === 0 ? [] : [`--allowed-domain "${domains.join(',')}"`]),
    ...(allowed.length === 0 ? [] : [`--allowed-cidr ${allowed.join(',')}`]),
    ...(denied.length === 0 ? [] : [`--denied-cidr ${denied.join(',')}`]),
  ].join(' ');
}

function bare(base: PolicyBase, verdict: Policy['default']): Policy {
  return { base, default: verdict, allowed: [], denied: [], opened: [], domains: [] };
}

/** Whether an allowed entry opens what is otherwise closed. @throws PolicyError when it never can */
function opens(entry: string, world: Surroundings): boolean {
  const pool = world.vmPools.find((cidr) => contains(cidr, entry));
  if (pool !== undefined) {
    throw new PolicyError(`${entry} cannot be allowed: no VM ever reaches another (${pool})`);
  }
  const closed = CLOSED_NETWORKS.find(({ cidr }) => contains(cidr, entry));
  if (closed !== undefined && !closed.mayBeOpened) {
    throw new PolicyError(`${entry} cannot be allowed: no VM ever reaches ${closed.what}`);
  }
  return closed !== undefined || isHosts(entry, world);
}

function isHosts(entry: string, world: Surroundings): boolean {
  return world.hostAddresses.some((address) => entry === `${address}/32`);
}

function noticesOf(base: PolicyBase | undefined, policy: Policy): string[] {
  const { allowed, denied, opened, domains } = policy;
  const notices: string[] = [];
  const allows = allowed.length > 0 || domains.length > 0;
  if (base === 'allow-all' && allows) {
    notices.push('warning: allow-all with an allow list is custom: only the list is reachable');
  } else if (base !== 'custom') {
    const rest = policy.default === 'allow' ? 'all but what is denied' : 'only what is allowed';
    const reachable = !allows && policy.default === 'deny' ? 'nothing' : rest;
    notices.push(`the lists make the policy custom: ${reachable} is reachable`);
  }
  for (const entry of allowed) {
    const swallowing = denied.find((cidr) => contains(cidr, entry));
    if (swallowing === undefined) continue;
    notices.push(
      `warning: the allowed ${entry} lies inside the denied ${swallowing}: it is denied`,
    );
  }
  if (domains.length > 0 && denied.includes('0.0.0.0/0')) {
    notices.push('warning: every address is denied, and with it every allowed name');
  }
  for (const entry of opened.filter((cidr) => !denied.some((by) => contains(by, cidr)))) {
    const closed = CLOSED_NETWORKS.find(({ cidr }) => contains(cidr, entry));
    notices.push(`${entry} is opened to the VM: ${closed?.what ?? "the host's own address"}`);
  }
  if (!resolvesNames(policy)) {
    notices.push('no name resolves under this policy: DNS would be a way out');
  }
  return notices;
}
