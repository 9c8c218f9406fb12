import { randomBytes } from 'node:crypto';
import { Failure } from '../host/failure.ts';
import { overlaps, planVm, slotCount, type Pools } from '../net/plan.ts';
import { contains } from '../policy/cidr.ts';

/** An id that no VM has had. */
export function newVmId(): string {
  return `vm-${randomBytes(4).toString('hex')}`;
}

/**
 * Whether the host routes networks of a slot elsewhere: any part of its /30, or its transit
 * addresses as a part of our pool. Who routes more than that pool, as VPNs do, loses nothing
 * by two addresses of it.
 * @param routes the destinations of the host's routes, as CIDRs
 */
export function isSlotRouted(pools: Pools, slot: number, routes: readonly string[]): boolean {
  const { subnet, transitHostIp } = planVm(pools, slot, '');
  return routes.some(
    (route) =>
      overlaps(route, subnet) ||
      (contains(pools.transitPool, route) && overlaps(route, `${transitHostIp}/31`)),
  );
}

/**
 * The lowest slot that no VM has and of whose networks the host routes none.
 * @param routes the destinations of the host's routes, as CIDRs
 * @throws Failure `exhausted` when the pool is full
 */
export function freeSlot(
  pools: Pools,
  taken: ReadonlySet<number>,
  routes: readonly string[],
): number {
  const count = slotCount(pools);
  for (let slot = 0; slot < count; slot += 1) {
    if (taken.has(slot)) continue;
    if (!isSlotRouted(pools, slot, routes)) return slot;
  }
  throw new Failure('exhausted', `all ${count} networks of ${pools.subnetPool} are in use`, {
    hint: 'remove a VM, or set VMSAN_SUBNET_POOL to a larger network',
  });
}

/**
 * Refuses to use the /30 of a slot that came to be routed elsewhere since it was given.
 * @param routes the destinations of the host's routes, as CIDRs
 * @throws Failure `conflict` that names the route
 */
export function refuseRoutedSlot(pools: Pools, slot: number, routes: readonly string[]): void {
  const { subnet } = planVm(pools, slot, '');
  const taken = routes.find((route) => overlaps(route, subnet));
  if (taken === undefined) return;
  throw new Failure(
    'conflict',
    `its network ${subnet} is part of ${taken}, which the host routes`,
    {
      hint: `ip route show ${taken}`,
    },
  );
}
