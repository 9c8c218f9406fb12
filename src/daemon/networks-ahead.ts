import { Failure, messageOf } from '../host/failure.ts';
import { planVm } from '../net/plan.ts';
import type { Context } from './context.ts';
import type { Place } from './shared-network.ts';
import { freeSlot, newVmId } from './slots.ts';

/** In the background: the next VMs find their networks made. */
export function makeNetworksAhead(context: Context): void {
  const { sharedNetwork, host, log } = context;
  const place: Place = (routes) => {
    const slot = slotOrNone(context, routes);
    if (slot === null) return null;
    const id = newVmId();
    return { id, network: planVm(host.pools, slot, id) };
  };
  sharedNetwork.makeAhead(place).catch((error: unknown) => {
    // Whoever creates a VM makes its network then, or hears why it cannot be made.
    log.warn({ error: messageOf(error) }, 'no network can be made ahead');
  });
}

/** The slots that are given out, to VMs or to networks that wait for one. */
export function takenSlots({ store, sharedNetwork }: Context): Set<number> {
  return new Set([...store.vms().map(({ slot }) => slot), ...sharedNetwork.slotsAhead()]);
}

function slotOrNone(context: Context, routes: readonly string[]): number | null {
  try {
    return freeSlot(context.host.pools, takenSlots(context), routes);
  } catch (error) {
    if (error instanceof Failure && error.code === 'exhausted') return null;
    throw error;
  }
}
