/**
 * What a VM may reach, as a domain value. The lists of a custom policy will
 * stand beside `base`; until something enforces them they cannot be said.
 */
export interface Policy {
  readonly base: PolicyBase;
}

export const POLICY_BASES = ['allow-all', 'deny-all'] as const;

/** What happens to a packet that no list names. */
export type PolicyBase = (typeof POLICY_BASES)[number];

/** What `vmsan create` gives without a flag. */
export const DEFAULT_POLICY: Policy = { base: 'allow-all' };

/** A text that is no policy: one line that says so, and what to write instead. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError';
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

/**
 * Reads a policy as the user writes it (`--network-policy deny-all`).
 * @throws PolicyError
 */
export function parsePolicy(text: string): Policy {
  const base = POLICY_BASES.find((known) => known === text);
  if (base !== undefined) return { base };
  const valid = POLICY_BASES.join(' or ');
  if (text === 'custom') {
    throw new PolicyError(
      '"custom" needs allow or deny lists, which are not enforced yet, so vmsan refuses it',
      `use ${valid}`,
    );
  }
  throw new PolicyError(
    text === '' ? 'the network policy is empty' : `"${text}" is not a network policy`,
    `use ${valid}`,
  );
}

/** The policy as `parsePolicy` reads it back. */
export function formatPolicy(policy: Policy): string {
  return policy.base;
}
