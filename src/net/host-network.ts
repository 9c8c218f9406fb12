import { ipBatch, ipJson } from '../host/ip.ts';
import { nftables } from '../host/nft.ts';
import { writeSysctl } from '../host/sysctl.ts';
import {
  NO_HOST_RULESET,
  renderHostRuleset,
  type Opening,
  type Publication,
  type Upstream,
} from './host-ruleset.ts';
import { readForwarding, uplinksNow } from './uplinks.ts';
import type { LoadedTable } from './loaded-table.ts';
import type { HostNetwork, VmNetwork } from './plan.ts';

/** Every kernel has it, which is not so of dummy links. */
const GATE_LINK = 'lo';

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
  /** Networks that no VM has yet. */
  waiting: readonly VmNetwork[];
  gateUp: boolean;
  upstreams: readonly Upstream[];
  opened: readonly Opening[];
  dialable: readonly string[];
  published: readonly Publication[];
}

/**
 * Brings the host's network to what is wanted: the gate's address, the host's
 * table, and forwarding on the interfaces that carry replies. Twice is once.
 */
export async function setHostNetwork(
  host: HostNetwork,
  wanted: WantedHostNetwork,
  lent: LentSysctls,
  table: LoadedTable,
): Promise<void> {
  const { links: uplinks } = await uplinksNow();
  if (forwardsSince(lent)) lent.clear();
  const toLend = uplinks.filter((link) => readForwarding(link) === '0');
  if (toLend.length > 0) lent.add({ path: forwardingOf(ALL), before: readForwarding(ALL)! });
  for (const link of toLend) lent.add({ path: forwardingOf(link), before: '0' });
  const lentLinks = lent.list().map(({ path }) => linkOfForwarding(path));
  // The table that keeps a lent link from forwarding for others comes before the lending.
  table.load(
    renderHostRuleset(host, { ...wanted, lentLinks: lentLinks.filter((link) => link !== ALL) }),
  );
  for (const link of toLend) writeSysctl(forwardingOf(link), '1');
}

/** Leaves the host as it was before the first VM. */
export async function clearHostNetwork(
  host: HostNetwork,
  lent: LentSysctls,
  table: LoadedTable,
): Promise<void> {
  const toReturn = forwardsSince(lent) ? [] : lent.list();
  for (const { path, before } of toReturn) {
    if (path === forwardingOf(ALL)) continue;
    try {
      writeSysctl(path, before);
    } catch {
      // The interface is gone, and its setting with it.
    }
  }
  lent.clear();
  table.forget();
  nftables(undefined, NO_HOST_RULESET);
  await removeGateAddress(host);
}

/** Gives the host the address that the gate listens on. Twice is once. */
export async function addGateAddress(host: HostNetwork): Promise<void> {
  await ipBatch(undefined, [`address replace ${host.gateIp}/32 dev ${GATE_LINK} scope host`]);
}

async function removeGateAddress(host: HostNetwork): Promise<void> {
  const links = await ipJson<{ addr_info: { local?: string }[] }>(undefined, [
    '-4',
    'address',
    'show',
    'dev',
    GATE_LINK,
  ]);
  const there = links.some(({ addr_info }) => addr_info.some(({ local }) => local === host.gateIp));
  if (there) await ipBatch(undefined, [`address delete ${host.gateIp}/32 dev ${GATE_LINK}`]);
}

/** Stands for all interfaces: what is written there is written to each. */
const ALL = 'all';

/**
 * Whether the host became a router after the first interface was lent, as when Docker starts.
 * Then they forward because it says so: there is nothing to give back.
 */
function forwardsSince(lent: LentSysctls): boolean {
  const before = lent.list().find(({ path }) => path === forwardingOf(ALL))?.before;
  return before === '0' && readForwarding(ALL) === '1';
}

function forwardingOf(link: string): string {
  return `net/ipv4/conf/${link}/forwarding`;
}

function linkOfForwarding(path: string): string {
  return path.split('/')[3]!;
}
