import type { BaseChain, Condition, FilterTable, Hook, Outcome, Rule } from './chain.ts';

/** What `nft --json --handle --terse list table` prints: see libnftables-json(5). */
export interface NftListing {
  nftables: readonly { table?: NftTable; chain?: NftChain; rule?: NftRule }[];
}

interface NftTable {
  family: string;
  name: string;
}

export interface NftChain {
  family: string;
  table: string;
  name: string;
  type?: string;
  hook?: string;
  policy?: string;
}

interface NftRule {
  family: string;
  table: string;
  chain: string;
  handle: number;
  comment?: string;
  expr: readonly Expression[];
}

type Expression = Record<string, unknown>;

/** Tables whose chains judge IPv4 as it comes in, goes out or is forwarded, as `[family, name]`. */
export function filterTables(listing: NftListing): [family: string, name: string][] {
  const found = listing.nftables.flatMap(({ chain }) => (chain && isFilter(chain) ? [chain] : []));
  return [
    ...new Map(found.map(({ family, table }) => [`${family} ${table}`, [family, table]])),
  ].map(([, names]) => names as [string, string]);
}

function isFilter({ family, hook, type }: NftChain): boolean {
  return (
    (family === 'ip' || family === 'inet') &&
    (hook === 'input' || hook === 'forward' || hook === 'output') &&
    (type === 'filter' || type === 'route')
  );
}

/** Reads the listing of one table. */
export function readNftTable(family: string, name: string, listing: NftListing): FilterTable {
  const chains = new Map<string, { name: string; rules: Rule[] }>();
  const base: BaseChain[] = [];
  for (const { chain } of listing.nftables) {
    if (chain === undefined) continue;
    const one = { name: chain.name, rules: [] };
    chains.set(chain.name, one);
    if (!isFilter(chain)) continue;
    const policy = chain.policy === 'drop' ? 'refuse' : 'accept';
    base.push({ ...one, hook: chain.hook as Hook, policy });
  }
  for (const { rule } of listing.nftables) {
    if (rule !== undefined) chains.get(rule.chain)?.rules.push(readRule(rule));
  }
  return { tool: 'nft', family, name, base, chains };
}

function readRule({ handle, comment = '', expr }: NftRule): Rule {
  const outcomes = expr.flatMap((expression): Outcome[] => {
    const outcome = outcomeOf(expression);
    return outcome === null ? [] : [outcome];
  });
  return {
    conditions: expr.flatMap(conditionsOf),
    outcome: outcomes[0] ?? { kind: 'none' },
    comment,
    at: handle,
  };
}

function outcomeOf(expression: Expression): Outcome | null {
  if ('accept' in expression || 'queue' in expression) return { kind: 'accept' };
  if ('drop' in expression || 'reject' in expression) return { kind: 'refuse' };
  if ('return' in expression) return { kind: 'return' };
  for (const kind of ['jump', 'goto'] as const) {
    if (!(kind in expression)) continue;
    return { kind, chain: (expression[kind] as { target: string }).target };
  }
  // Of iptables, where it is not there to be asked.
  const { xt } = expression as { xt?: { type?: string; name?: string } | null };
  return xt?.type === 'target' && xt.name === 'REJECT' ? { kind: 'refuse' } : null;
}

/** Statements that neither decide nor ask. */
const ASIDE = new Set([
  'counter',
  'log',
  'comment',
  'notrack',
  'mangle',
  'ct timeout',
  'ct helper',
]);

function conditionsOf(expression: Expression): Condition[] {
  const { match } = expression as { match?: Match };
  if (match !== undefined) return [conditionOf(match)];
  if (outcomeOf(expression) !== null || Object.keys(expression).every((key) => ASIDE.has(key))) {
    return [];
  }
  // A limit, a map of verdicts, a match of iptables', what a newer nft has.
  return [{ kind: 'other' }];
}

interface Match {
  op: string;
  left: Record<string, { key?: string; protocol?: string; field?: string } | undefined>;
  right: unknown;
}

const OTHER: Condition = { kind: 'other' };

function conditionOf({ op, left, right }: Match): Condition {
  const not = op === '!=';
  if (!['==', '!=', 'in'].includes(op)) return OTHER;
  const values = valuesOf(right);
  const { meta, ct, payload } = left;
  if (payload?.protocol === 'ip6') return { kind: 'never' };
  if (values === null) return OTHER;
  const oneOf = (...keys: string[]) => keys.includes(meta?.key ?? '');
  if (oneOf('iifname', 'iif')) return { kind: 'from link', names: values, not };
  if (oneOf('oifname', 'oif')) return { kind: 'to link', names: values, not };
  if (oneOf('mark') && values.length === 1) {
    return { kind: 'unmarked', not: not === (values[0] === '0') };
  }
  if (oneOf('nfproto', 'protocol')) {
    return onlyIf(not !== values.some((value) => value === 'ipv4' || value === 'ip'));
  }
  if (ct?.key === 'state') return { kind: 'state', states: values, not };
  if (ct?.key === 'status' && values.join() === 'dnat')
    return { kind: 'state', states: values, not };
  if (payload?.protocol !== 'ip') return OTHER;
  if (payload.field === 'saddr') return { kind: 'source', networks: values, not };
  if (payload.field === 'daddr') return { kind: 'destination', networks: values, not };
  return OTHER;
}

/** True of all packets, or of none. */
function onlyIf(all: boolean): Condition {
  return all ? { kind: 'unmarked', not: false } : { kind: 'never' };
}

/** The values that a packet's is compared with, as text; null for a set by name, a range, a map. */
function valuesOf(right: unknown): string[] | null {
  if (typeof right === 'number') return [String(right)];
  if (typeof right === 'string') return right.startsWith('@') ? null : [right];
  if (Array.isArray(right)) return all(right.map(valuesOf));
  if (typeof right !== 'object' || right === null) return null;
  const { set, prefix } = right as { set?: unknown; prefix?: { addr: string; len: number } };
  if (set !== undefined) return valuesOf(set);
  return prefix === undefined ? null : [`${prefix.addr}/${prefix.len}`];
}

function all(values: readonly (string[] | null)[]): string[] | null {
  const known = values.filter((value) => value !== null);
  return known.length === values.length ? known.flat() : null;
}
