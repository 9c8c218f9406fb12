import type { ByName, Decide } from '../dns/resolver.ts';
import { normalName } from '../policy/domain.ts';
import type { Guest } from './guest.ts';
import type { Leases } from './leases.ts';

/**
 * Whether a VM may resolve a name: where its policy allows by default every
 * one; under domain rules those that a rule names; else none: names would be a
 * way out.
 */
export function decideNames(leases: Pick<Leases, 'ask'>): Decide<Guest> {
  return (query, guest) => {
    const { policy, resolves, names } = guest;
    if (!resolves || (names === undefined && policy.default === 'deny')) {
      const why = policy.base === 'custom' ? ', which allows addresses only' : '';
      return refused(`network policy of this VM is ${policy.base}${why}`);
    }
    if (names === undefined) return { allow: true, rule: 'default' };
    const name = normalName(query.name);
    if (name === null) return refused('no rule allows a name with such letters');
    const verdict = guest.judgeName({ name });
    if (!verdict.allow) return refused(verdict.reason);
    return { allow: true, rule: verdict.rule, byName: byName(guest, name, leases) };
  };

  function refused(reason: string) {
    return { allow: false, rule: '', reason: `vmsan: ${reason}` } as const;
  }
}

/** vmsand may drop the lease of who has not asked for longest: who goes on asking keeps it. */
const REPEAT_MS = 5000;

function byName(guest: Guest, name: string, leases: Pick<Leases, 'ask'>): ByName {
  return {
    repeatMs: REPEAT_MS,
    keeps: (address) => guest.judgeAddress(address).verdict === 'allow',
    lease: (addresses, ttl) => {
      const outcome = leases.ask(guest, { name, addresses, ttl });
      // Of others vmsand is told too, to say which name holds an address; the proxy lets them through.
      return guest.names?.leased(name).length === 0 ? undefined : outcome;
    },
  };
}
