import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { nftables } from '../host/nft.ts';
import { foreignTablesText } from './firewall/tables.ts';
import { vmOfLink } from './plan.ts';
import { readForwarding } from './uplinks.ts';

/**
 * Differs when something of the host changes that VMs' traffic depends on and
 * that is not ours: its routes, where it forwards, other firewalls; and when
 * our table is gone. Cheap: to be asked again and again.
 */
export async function hostSignature(): Promise<string> {
  const links = readdirSync('/proc/sys/net/ipv4/conf').filter((link) => vmOfLink(link) === null);
  const parts = [
    readFileSync('/proc/net/route', 'utf8'),
    // Those of other tables too, without their interfaces.
    readFileSync('/proc/net/fib_trie', 'utf8'),
    links.map((link) => `${link} ${readForwarding(link)}`).join(),
    nftables(undefined, 'list tables'),
    await foreignTablesText(),
  ];
  return createHash('sha256').update(parts.join('\0')).digest('hex');
}
