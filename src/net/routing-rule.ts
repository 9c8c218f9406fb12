import { readFileSync } from 'node:fs';
import { ipBatch, ipJson } from '../host/ip.ts';
import type { HostNetwork, VmNetwork } from './plan.ts';
import { linkTo } from './uplinks.ts';

/**
 * A routing rule for what goes to VMs: the main table, which has their routes.
 * VPNs that send all by a table of their own, before that one, take it otherwise.
 */

/** After those that hold VMs (0 and 1), before anybody else's. */
const PREFERENCE = 2;
/** By which we know it again: nobody else's in iproute2's rt_protos. */
const PROTOCOL = 118;

interface RoutingRule {
  priority: number;
  protocol?: string;
}

/** Adds the rule when a VM's packets would go elsewhere. Twice is once. */
export async function keepRoutesToVms(host: HostNetwork, vms: readonly VmNetwork[]): Promise<void> {
  const routed = readFileSync('/proc/net/route', 'utf8');
  // One stands for all: they are in one pool. That of one whose link is not there yet says nothing.
  const vm = vms.find(({ hostLink }) => routed.includes(`${hostLink}\t`));
  if (vm === undefined || (await linkTo(vm.guestIp)) === vm.hostLink || (await isThere())) return;
  await ipBatch(undefined, [`rule add ${ruleFor(host)}`]);
}

/** Removes the rule, if it is there. */
export async function removeRoutingRule(host: HostNetwork): Promise<void> {
  if (await isThere()) await ipBatch(undefined, [`rule delete ${ruleFor(host)}`]);
}

async function isThere(): Promise<boolean> {
  const rules = await ipJson<RoutingRule>(undefined, ['-4', 'rule', 'show']);
  return rules.some(
    ({ priority, protocol }) => priority === PREFERENCE && protocol === String(PROTOCOL),
  );
}

function ruleFor({ pools }: HostNetwork): string {
  return `preference ${PREFERENCE} to ${pools.subnetPool} lookup main protocol ${PROTOCOL}`;
}
