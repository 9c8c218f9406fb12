import { addressNumber, rangeOf } from './cidr.ts';
import { addressRules, decision, holding, type Decision } from './decide.ts';
import { domainMatcher } from './domain-matcher.ts';
import { isDohName } from './doh.ts';
import { PRIVATE_NETWORKS } from './never.ts';
import type { Policy, Surroundings } from './policy.ts';

/** What a policy says of a name: by which rule, or why not. */
export type NameVerdict =
  | { readonly allow: true; readonly rule: string }
  | { readonly allow: false; readonly reason: string };

/** A name as `normalName` gives it, and for the proxy the TCP port that it came to. */
export interface NamedTarget {
  name: string;
  port?: number;
}

/** Whether a name may be looked up, or reached at a port of the proxy's. */
export function nameVerdict(policy: Policy, target: NamedTarget): NameVerdict {
  return nameJudge(policy)(target);
}

/** `nameVerdict` for many names under one policy. */
export function nameJudge(policy: Policy): (target: NamedTarget) => NameVerdict {
  if (policy.default === 'allow') return () => ({ allow: true, rule: 'default' });
  if (policy.domains.length === 0) return () => refused(`${policy.base} allows no names`);
  const matcher = domainMatcher(policy.domains);

  return ({ name, port }) => {
    const rules = matcher.names(name);
    const rule = port === undefined ? rules[0] : matcher.match(name, 'tcp', port);
    if (rule === undefined) {
      return refused(
        rules.length === 0
          ? `no rule allows ${name}`
          : `no rule allows ${name} at TCP port ${port}`,
      );
    }
    if (isDohName(name) && !rules.some(({ wildcard }) => !wildcard)) {
      return refused(
        `${name} is a public resolver: DNS over HTTPS, and ${rule.text} is a wildcard`,
      );
    }
    return { allow: true, rule: rule.text };
  };
}

/** Whether an allowed name may be reached at this address: what the proxy dials and the resolver answers. */
export function dialVerdict(policy: Policy, address: string, world: Surroundings): Decision {
  return dialJudge(policy, world)(address);
}

/** `dialVerdict` for many addresses under one policy. */
export function dialJudge(policy: Policy, world: Surroundings): (address: string) => Decision {
  const byAddress = addressRules(policy, world);
  const local = PRIVATE_NETWORKS.map(rangeOf);

  return (address) => {
    const number = addressNumber(address);
    const listed = byAddress(address, number);
    if (listed !== undefined) return listed;
    const network = holding(local, number);
    if (network !== undefined) {
      const why = `${address} is in the private ${network.cidr}, and a name allows public addresses`;
      return decision('deny', 'private', why);
    }
    return decision('allow', 'name', `${address} is public, and its name is allowed`);
  };
}

function refused(reason: string): NameVerdict {
  return { allow: false, reason };
}
