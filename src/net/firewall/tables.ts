import { readFileSync } from 'node:fs';
import { isErrno } from '../../host/failure.ts';
import { nftables, nftablesJson } from '../../host/nft.ts';
import { CommandFailed, run } from '../../host/run.ts';
import { isOurTable } from '../plan.ts';
import type { FilterTable, Tool } from './chain.ts';
import { readIptables } from './iptables-rules.ts';
import { filterTables, readNftTable, type NftListing } from './nft-rules.ts';

/** All tables of this network namespace that judge what it receives, sends or forwards, ours left out. */
export async function foreignTables(): Promise<FilterTable[]> {
  const tables = await Promise.all(
    tableNames().map(async ([family, name]) => {
      const asIptables = family === 'ip' && name === 'filter' ? await save('iptables-nft') : null;
      if (asIptables !== null) return asIptables;
      const listing = listTable(family, name);
      return listing === null ? null : readNftTable(family, name, listing);
    }),
  );
  if (isLegacyUsed()) tables.push(await save('iptables-legacy'));
  return tables.filter((table) => table !== null);
}

/** Differs when those tables do. Spawns nothing but for iptables' older back-end. */
export async function foreignTablesText(): Promise<string> {
  const listings = tableNames().map(([family, name]) => listTable(family, name));
  const legacy = isLegacyUsed() ? await save('iptables-legacy') : null;
  return JSON.stringify([listings, [...(legacy?.chains.values() ?? [])]]);
}

function tableNames(): [family: string, name: string][] {
  const listing = nftablesJson<NftListing>(undefined, 'list chains');
  return filterTables(listing).filter(([, name]) => !isOurTable(name));
}

/** Null when it was removed meanwhile. */
function listTable(family: string, name: string): NftListing | null {
  try {
    return nftablesJson<NftListing>(undefined, `list table ${family} ${name}`);
  } catch (error) {
    if (!nftables(undefined, 'list tables').includes(`table ${family} ${name}\n`)) return null;
    throw error;
  }
}

/** Null when that iptables is not installed, or cannot read the table: nftables can. */
async function save(tool: Exclude<Tool, 'nft'>): Promise<FilterTable | null> {
  try {
    const { stdout } = await run([`${tool}-save`, '-t', 'filter']);
    return readIptables(tool, stdout);
  } catch (error) {
    if (error instanceof CommandFailed) return null;
    throw error;
  }
}

/**
 * Whether there is a filter table of iptables' older back-end, which nftables does not
 * see. Asked for one that is not there, iptables would make it.
 */
function isLegacyUsed(): boolean {
  try {
    return readFileSync('/proc/net/ip_tables_names', 'utf8').split('\n').includes('filter');
  } catch (error) {
    // A kernel without it.
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}
