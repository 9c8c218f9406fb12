import type { Lookup } from '../dns/lookup.ts';
import { TYPE } from '../dns/message.ts';
import { wireName } from '../dns/name.ts';
import { addressesOf } from '../dns/view.ts';
import { normalName } from '../policy/domain.ts';
import type { Guest } from './guest.ts';
import type { Leases } from './leases.ts';

/** The IPv4 addresses of a name, and for how many seconds they hold; or why there are none. */
export type Addresses = { addresses: string[]; ttl: number } | { error: string };

/**
 * Looks up a name for the proxy: all of its addresses, judged by nobody.
 * @param name as `normalName` gives it
 */
export async function lookUpAddresses(lookup: Lookup, name: string): Promise<Addresses> {
  const wire = wireName(name);
  if (wire === null) return { error: 'it is no name' };
  const found = await lookup.find({ name: wire, type: TYPE.A });
  if ('tries' in found) return { error: 'no resolver of the host gave an answer' };
  const addresses = addressesOf(found);
  return addresses.length === 0 ? { error: 'it has no address' } : { addresses, ttl: found.ttl };
}

export interface RenewOptions {
  lookup: Lookup;
  leases: Pick<Leases, 'ask'>;
  /** The VM as of now. */
  guestOf: (vmId: string) => Guest | undefined;
}

/** More names than a VM may hold leases of are no request of vmsand's. */
const MAX_NAMES = 512;
const AT_ONCE = 8;

/**
 * Resolves names again, past the cache, and asks for leases of what is still in
 * the answer. The names that the policy no longer allows are left out.
 */
export async function renew(
  { lookup, leases, guestOf }: RenewOptions,
  vmId: string,
  names: readonly string[],
): Promise<void> {
  const left = names.slice(0, MAX_NAMES);
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let name = left.pop(); name !== undefined; name = left.pop()) await renewOne(name);
    }),
  );

  async function renewOne(text: string): Promise<void> {
    const name = normalName(text);
    const wire = name === null ? null : wireName(name);
    if (name === null || wire === null || !isAllowed(guestOf(vmId), name)) return;
    const found = await lookup.findAnew({ name: wire, type: TYPE.A });
    // Decided again: the policy may be another by now.
    const guest = guestOf(vmId);
    if ('tries' in found || guest === undefined || !isAllowed(guest, name)) return;
    const addresses = addressesOf(found).filter(
      (address) => guest.judgeAddress(address).verdict === 'allow',
    );
    if (addresses.length === 0) return;
    await leases.ask(guest, { name, addresses, ttl: found.ttl });
  }
}

function isAllowed(guest: Guest | undefined, name: string): boolean {
  return guest?.names !== undefined && guest.judgeName({ name }).allow;
}
