import type { Decide } from '../dns/resolver.ts';

/**
 * Whether a VM may resolve names. Only a policy that is known to allow by
 * default does; any other word is refused.
 */
export const decide: Decide = (_query, guest) =>
  guest.policy === 'allow-all'
    ? { allow: true }
    : { allow: false, reason: `vmsan: network policy of this VM is ${guest.policy}` };
