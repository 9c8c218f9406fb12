import { ipBatch, ipJson } from '../host/ip.ts';
import { nftables } from '../host/nft.ts';
import { writeSysctl } from '../host/sysctl.ts';
import { isLimited, type Bandwidth } from '../policy/bandwidth.ts';
import { setBandwidth } from './bandwidth.ts';
import { vmOfLink, vmOfTable, type VmNetwork } from './plan.ts';
import { prohibitedLinks, removeProhibition } from './prohibition.ts';

/**
 * What a VM without a netns has in the host's: its TAP, its tables, and the
 * rule that forbids its TAP what nobody judged (prohibition.ts), which comes
 * first and goes last.
 */

/** Settings of a new TAP in the host's namespace, before it is up. */
export function setBareTapUp({ tap }: VmNetwork): void {
  // A default link sends router solicitations at once.
  writeSysctl(`net/ipv6/conf/${tap}/disable_ipv6`, '1');
}

/** Brings the TAP up, with the gateway's address and its limits in force. */
export async function connectBareTap(vm: VmNetwork, bandwidth: Bandwidth): Promise<void> {
  if (isLimited(bandwidth)) await setBandwidth(vm, bandwidth);
  await ipBatch(undefined, [
    `link set dev ${vm.tap} address ${vm.gatewayMac}`,
    `address add ${vm.gatewayIp}/30 dev ${vm.tap}`,
    `link set dev ${vm.tap} up`,
    `neighbour replace ${vm.guestIp} lladdr ${vm.guestMac} dev ${vm.tap} nud permanent`,
  ]);
  writeSysctl(`net/ipv4/conf/${vm.tap}/forwarding`, '1');
}

/** Removes a VM's tables, and then the rule. Its TAP is gone by then. */
export async function removeBare(id: string): Promise<void> {
  const tables = tablesOfVms().filter(({ vm }) => vm === id);
  nftables(undefined, tables.map(({ name }) => `delete table ${name}\n`).join(''));
  await removeProhibition(id);
}

/** The ids of VMs of which there is something in the host's namespace: a table, or the rule. */
export async function bareVms(): Promise<Set<string>> {
  return new Set([...tablesOfVms().map(({ vm }) => vm), ...(await prohibitedLinks())]);
}

/** TAPs of the host's that are named as VMs are. */
export async function bareTaps(): Promise<string[]> {
  const links = await ipJson<{ ifname?: string }>(undefined, ['link', 'show', 'type', 'tun']);
  return links.flatMap(({ ifname = '' }) => vmOfLink(ifname) ?? []);
}

/** Tables of the host's namespace that belong to a VM, by family and name. */
function tablesOfVms(): { vm: string; name: string }[] {
  const lines = nftables(undefined, 'list tables').split('\n');
  return lines.flatMap((line) => {
    const [, family, table = ''] = line.split(' ');
    const vm = vmOfTable(table);
    return vm === null ? [] : [{ vm, name: `${family} ${table}` }];
  });
}
