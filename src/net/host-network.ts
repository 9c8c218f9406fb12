import { ipBatch, ipJson } from '../host/ip.ts';
import { nftables } from '../host/nft.ts';
import { linkExists, readSysctl, writeSysctl } from '../host/sysctl.ts';
import { NO_HOST_RULESET, renderHostRuleset, type Upstream } from './host-ruleset.ts';
import type { HostNetwork, VmNetwork } from './plan.ts';

/** A kernel setting that we changed, and what to put back. */
export interface LentSysctl {
  path: string;
  before: string;
}

/** Remembers, across crashes, what to put back. */
export interface LentSysctls {
  list(): LentSysctl[];
  add(lent: LentSysctl): void;
  clear(): void;
}

/** The share of the host's network that all VMs use, as a value to be set. */
export interface WantedHostNetwork {
  vms: readonly VmNetwork[];
  gateUp: boolean;
  upstreams: readonly Upstream[];
}

/**
 * Brings the host's network to what is wanted: the gate's address, the host's
 * table, and forwarding on the interfaces that carry replies. Twice is once.
 */
export async function setHostNetwork(
  host: HostNetwork,
  wanted: WantedHostNetwork,
  lent: LentSysctls,
): Promise<void> {
  const uplinks = await uplinksOf(host, wanted.vms);
  const toLend = uplinks.filter((link) => readSysctl(forwardingOf(link)) === '0');
  for (const link of toLend) lent.add({ path: forwardingOf(link), before: '0' });
  const lentLinks = lent.list().map(({ path }) => path.split('/')[4]!);
  // The table that keeps a lent link from forwarding for others comes before the lending.
  nftables(undefined, renderHostRuleset(host, { ...wanted, lentLinks }));
  for (const link of toLend) writeSysctl(forwardingOf(link), '1');
}

/** Leaves the host as it was before the first VM. */
export async function clearHostNetwork(host: HostNetwork, lent: LentSysctls): Promise<void> {
  for (const { path, before } of lent.list()) {
    try {
      writeSysctl(path, before);
    } catch {
      // The interface is gone, and its setting with it.
    }
  }
  lent.clear();
  nftables(undefined, NO_HOST_RULESET);
  if (linkExists(host.gateLink)) await ipBatch(undefined, [`link delete dev ${host.gateLink}`]);
}

/** The dummy link that the gate listens on. Twice is once. */
export async function addGateLink(host: HostNetwork): Promise<void> {
  if (linkExists(host.gateLink)) return;
  await ipBatch(undefined, [
    `link add name ${host.gateLink} type dummy`,
    `address add ${host.gateIp}/32 dev ${host.gateLink}`,
    `link set dev ${host.gateLink} up`,
  ]);
}

/** Interfaces that a route points out of, ours and loopback left out. */
async function uplinksOf(host: HostNetwork, vms: readonly VmNetwork[]): Promise<string[]> {
  const routes = await ipJson<{ dev?: string }>(undefined, ['-4', 'route', 'show', 'table', 'all']);
  const ours = new Set(['lo', host.gateLink, ...vms.map((vm) => vm.hostLink)]);
  return [...new Set(routes.flatMap(({ dev }) => (dev === undefined ? [] : [dev])))].filter(
    (dev) => !ours.has(dev),
  );
}

function forwardingOf(link: string): string {
  return `net/ipv4/conf/${link}/forwarding`;
}
