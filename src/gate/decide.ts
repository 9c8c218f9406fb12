import type { Decide } from '../dns/resolver.ts';
import type { Guest } from './snapshot.ts';

/**
 * Whether a VM may resolve names: only where its policy allows by default.
 * Without that, names would be a way out.
 */
export const decide: Decide<Guest> = (_query, { policy, resolves }) => {
  if (resolves) return { allow: true, rule: 'default' };
  const why = policy === 'custom' ? ', which allows addresses only' : '';
  return {
    allow: false,
    rule: 'default',
    reason: `vmsan: network policy of this VM is ${policy}${why}`,
  };
};
