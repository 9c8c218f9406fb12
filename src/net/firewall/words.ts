import { VM_LINK_PREFIX } from '../plan.ts';
import type { FilterTable } from './chain.ts';
import type { Finding } from './firewall.ts';
import { iptablesPass, nftPass, tableWords } from './passes.ts';

/** A finding for people: whose chain refuses what, and whether it is let through all the same. */
export function findingWords({ table, base, kind, judgement, passed, error }: Finding): string {
  const whose = `${table.tool === 'nft' ? tableWords(table) : table.tool} ${base.name}`;
  if (passed) return `${whose} refuses ${kind.what}: let through by a rule of vmsan's`;
  if (judgement.verdict === 'confined') {
    return `${whose} lets ${kind.what} out by ${judgement.link} alone, and vmsan leaves that as it is`;
  }
  // nft shows the command too, on further lines.
  const why = error === undefined || error === '' ? '' : ` (${error.split('\n')[0]})`;
  return `${whose} refuses ${kind.what}${why}`;
}

/** A command that lets through what a finding is of. */
export function remedyFor({ table, kind, judgement }: Finding): string {
  if (table.name === 'firewalld') {
    return `firewall-cmd --zone=trusted --add-interface=${VM_LINK_PREFIX}+`;
  }
  const place = judgement.verdict === 'confined' ? judgement.otherwise : judgement;
  return table.tool === 'nft'
    ? `nft '${nftPass(table, kind, place, 'person')}'`
    : [table.tool, ...iptablesPass(kind, place, 'person')].join(' ');
}

/** Who made a table, by the names that they give their tables and chains. */
export function ownerOf({ tool, family, name, chains }: FilterTable): string {
  const has = (start: string) => [...chains.keys()].some((chain) => chain.startsWith(start));
  const known = [
    ...(name === 'firewalld' ? ['firewalld'] : []),
    ...(has('ufw-') ? ['ufw'] : []),
    ...(has('DOCKER') ? ['Docker'] : []),
  ];
  if (known.length > 0) return known.join(' and ');
  return tool === 'nft' ? `nftables ${family} ${name}` : tool;
}
