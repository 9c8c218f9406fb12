import type { Guest as Known } from '../dns/resolver.ts';
import type { GuestPolicy } from '../gen/vmsan/v1/gate_pb.js';
import { Failure } from '../host/failure.ts';
import { domainMatcher, type DomainMatcher } from '../policy/domain-matcher.ts';
import { PolicyError } from '../policy/error.ts';
import {
  dialJudge,
  nameJudge,
  type NamedTarget,
  type NameVerdict,
} from '../policy/name-verdict.ts';
import type { Decision } from '../policy/decide.ts';
import type { Policy, Surroundings } from '../policy/policy.ts';

/** A VM as the gate knows it, under its policy as of one snapshot. */
export interface Guest extends Known {
  readonly policy: Policy;
  /** Whether its policy lets names be resolved at all. */
  readonly resolves: boolean;
  /** Whether a name may be looked up, or reached at a port of the proxy's. */
  readonly judgeName: (target: NamedTarget) => NameVerdict;
  /** Whether an allowed name may be reached at an IPv4 address. */
  readonly judgeAddress: (address: string) => Decision;
  /** Domain rules, when it has any. */
  readonly names: DomainMatcher | undefined;
  /** What it was made from. */
  readonly said: string;
}

/**
 * Reads a guest of a snapshot.
 * @param before the same VM in the snapshot before; given back when nothing changed
 * @throws Failure `bad_input`
 */
export function parseGuest(
  request: GuestPolicy,
  world: Surroundings,
  before: Guest | undefined,
): Guest {
  const said = JSON.stringify([request, world]);
  if (before?.said === said) return before;
  const { guestIp, vmId, generation, resolves } = request;
  const policy: Policy = {
    base: baseOf(request.policy),
    // What is not "allow" denies: a word of a later version too.
    default: request.defaultVerdict === 'allow' ? 'allow' : 'deny',
    allowed: request.allowedCidrs,
    denied: request.deniedCidrs,
    opened: request.openedCidrs,
    domains: request.allowedDomains,
  };
  try {
    const judgeName = nameJudge(policy);
    const judgeAddress = dialJudge(policy, world);
    const names = policy.domains.length === 0 ? undefined : domainMatcher(policy.domains);
    return {
      ip: guestIp,
      vmId,
      generation,
      policy,
      resolves,
      judgeName,
      judgeAddress,
      names,
      said,
    };
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    throw new Failure('bad_input', `the policy of ${vmId}: ${error.message}`);
  }
}

function baseOf(text: string): Policy['base'] {
  return text === 'allow-all' || text === 'deny-all' ? text : 'custom';
}
