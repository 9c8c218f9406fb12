import { VM_LINK_PREFIX } from '../plan.ts';
import type { FilterTable } from './chain.ts';
import type { Kind } from './packets.ts';

/**
 * A pass: a rule of ours in a chain of somebody else's, that accepts one kind
 * of VMs' packets there. A drop in any table wins over our accepts, so where
 * all of a kind are refused, nothing less helps. It opens nothing: our own
 * chains judge the same packets, and the VM's netns does once more.
 */

/** What the comment of each of ours begins with; the kind's name follows. Nobody else writes it. */
const TAG = 'vmsan:';

export function isPass({ comment }: { comment: string }): boolean {
  return comment.startsWith(TAG);
}

export function isPassOf(rule: { comment: string }, kind: Kind): boolean {
  return rule.comment === TAG + kind.name;
}

/** Where a pass goes: before the rule `at`, or at the chain's end. */
export interface Place {
  chain: string;
  at: number | null;
}

/**
 * One nft command that puts a pass into a table.
 * @param by whose it is; a person's is not taken away by us
 */
export function nftPass(
  table: FilterTable,
  kind: Kind,
  { chain, at }: Place,
  by: 'vmsan' | 'person',
): string {
  const words = [
    ...(kind.from === 'vm' ? [`iifname "${VM_LINK_PREFIX}*"`] : []),
    ...(kind.to === 'vm' ? [`oifname "${VM_LINK_PREFIX}*"`] : []),
    ...(kind.source === null ? [] : [`ip saddr ${kind.source}`]),
    ...(kind.destination === null ? [] : [`ip daddr ${kind.destination}`]),
    ...stateWords(table, kind),
    by === 'vmsan' ? `counter accept comment "${TAG}${kind.name}"` : 'counter accept',
  ];
  const where = `${tableWords(table)} ${chain}`;
  const put = at === null ? `add rule ${where}` : `insert rule ${where} handle ${at}`;
  return `${put} ${words.join(' ')}`;
}

/** iptables' own tables, where nftables is asked because iptables is not there or does not know them. */
const IPTABLES = new Set(['filter', 'mangle', 'raw', 'security']);

/** iptables takes no rule for a table with one that it cannot read: a `ct` of nft's, say (1.8.9). */
function stateWords({ family, name }: FilterTable, { state }: Kind): string[] {
  if (family === 'ip' && IPTABLES.has(name)) return [];
  if (state === 'established') return ['ct state established,related'];
  return state === 'dnat' ? ['ct status dnat'] : [];
}

/** The arguments of iptables that put a pass into its filter table. */
export function iptablesPass(kind: Kind, { chain, at }: Place, by: 'vmsan' | 'person'): string[] {
  return [
    ...(at === null ? ['-A', chain] : ['-I', chain, String(at)]),
    ...(kind.source === null ? [] : ['-s', kind.source]),
    ...(kind.destination === null ? [] : ['-d', kind.destination]),
    ...(kind.from === 'vm' ? ['-i', `${VM_LINK_PREFIX}+`] : []),
    ...(kind.to === 'vm' ? ['-o', `${VM_LINK_PREFIX}+`] : []),
    ...iptablesState(kind),
    ...(by === 'vmsan' ? ['-m', 'comment', '--comment', TAG + kind.name] : []),
    ...['-j', 'ACCEPT'],
  ];
}

function iptablesState({ state }: Kind): string[] {
  if (state === 'established') return ['-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED'];
  return state === 'dnat' ? ['-m', 'conntrack', '--ctstate', 'DNAT'] : [];
}

export function tableWords({ family, name }: FilterTable): string {
  return `${family} ${name}`;
}
