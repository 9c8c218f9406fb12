import { Failure } from '../host/failure.ts';
import type { Store, VmRecord } from '../store/store.ts';

/**
 * The VM that a user means by an id, a name, or a unique prefix of either.
 * @throws Failure `not_found`, or `bad_input` when several begin like that
 */
export function findVm(store: Store, reference: string): VmRecord {
  const vms = store.vms();
  const exact = vms.find(({ id, name }) => id === reference || name === reference);
  if (exact !== undefined) return exact;
  const candidates =
    reference === ''
      ? []
      : vms.filter(({ id, name }) => id.startsWith(reference) || name.startsWith(reference));
  const [only, ...others] = candidates;
  if (only === undefined) {
    throw new Failure('not_found', `there is no VM "${reference}"`, { hint: 'vmsan list' });
  }
  if (others.length > 0) {
    const names = candidates.map(({ name }) => name).join(', ');
    throw new Failure('bad_input', `"${reference}" could be any of ${names}`, {
      hint: 'type more of the id or the name',
    });
  }
  return only;
}
