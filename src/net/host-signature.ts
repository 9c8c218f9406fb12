import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { nftables } from '../host/nft.ts';
import { contains } from '../policy/cidr.ts';
import { foreignTablesText } from './firewall/tables.ts';
import { vmOfLink, type HostNetwork } from './plan.ts';
import { readForwarding } from './uplinks.ts';

/**
 * Differs when something of the host changes that VMs' traffic depends on: its
 * routes, where it forwards, other firewalls; when our table is gone; and when
 * there is a first VM. Further VMs do not matter. Cheap: to be asked again and again.
 */
export async function hostSignature(host: HostNetwork): Promise<string> {
  const links = readdirSync('/proc/sys/net/ipv4/conf').filter((link) => vmOfLink(link) === null);
  const routes = readFileSync('/proc/net/route', 'utf8').split('\n');
  const others = routes.filter((route) => vmOfLink(route.split('\t')[0]!) === null);
  const parts = [
    others.join('\n'),
    others.length < routes.length,
    destinations(readFileSync('/proc/net/fib_trie', 'utf8'), host),
    links.map((link) => `${link} ${readForwarding(link)}`).join(),
    nftables(undefined, 'list tables').includes('table inet vmsan\n'),
    await foreignTablesText(),
  ];
  return createHash('sha256').update(parts.join('\0')).digest('hex');
}

/**
 * The destinations of every table in a fib_trie, those in our pools left out:
 *
 *     Id 200:
 *       +-- 0.0.0.0/0 3 0 5
 *          |-- 192.0.2.0
 *             /24 link UNICAST
 *
 * Which interface they lead to is not in it.
 */
export function destinations(trie: string, { pools }: HostNetwork): string {
  const isOurs = (address: string) =>
    [pools.subnetPool, pools.transitPool].some((pool) => contains(pool, `${address}/32`));
  const kept: string[] = [];
  let ours = false;
  for (const line of trie.split('\n')) {
    const leaf = /^ *\|-- ([\d.]+)$/.exec(line)?.[1];
    if (leaf !== undefined) ours = isOurs(leaf);
    const counts = leaf !== undefined || /^\S|^ *\/\d/.test(line);
    if (line.endsWith(':')) ours = false;
    if (counts && !ours) kept.push(line.trim());
  }
  return kept.join('\n');
}
