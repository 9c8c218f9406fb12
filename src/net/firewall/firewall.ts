import { existsSync } from 'node:fs';
import { messageOf } from '../../host/failure.ts';
import { nftables } from '../../host/nft.ts';
import { run } from '../../host/run.ts';
import type { HostNetwork } from '../plan.ts';
import type { BaseChain, Chain, FilterTable, Rule } from './chain.ts';
import { judge, type Judgement } from './judge.ts';
import { kindsOf, type Kind } from './packets.ts';
import { iptablesPass, isPass, isPassOf, nftPass, tableWords } from './passes.ts';
import { foreignTables } from './tables.ts';

/** A chain of somebody else's that refuses packets which VMs cannot do without. */
export interface Finding {
  table: FilterTable;
  base: BaseChain;
  kind: Kind;
  /** Without a pass, when there is one that helps. */
  judgement: Exclude<Judgement, { verdict: 'accepted' }>;
  /** A pass of ours lets them through. */
  passed: boolean;
  /** Why there is none, when it was tried. */
  error?: string | undefined;
}

/** Looks at all other tables, and changes nothing. Chains that refuse nothing of ours are left out. */
export async function examineFirewalls(host: HostNetwork): Promise<Finding[]> {
  return (await foreignTables()).flatMap((table) => findingsOf(host, table));
}

/**
 * Puts passes where all of VMs' packets of a kind are refused. Twice is once.
 * @returns what is refused, or would be without them
 */
export async function addPasses(host: HostNetwork): Promise<Finding[]> {
  const errors = new Map<string, string>();
  for (;;) {
    // Read anew for each: a pass moves the places of others.
    const tables = await foreignTables();
    const findings = tables.flatMap((table) => findingsOf(host, table));
    const next = findings.find((one) => isFixable(one) && !errors.has(keyOf(one)));
    if (next === undefined) {
      return findings.map((one) => ({ ...one, error: errors.get(keyOf(one)) }));
    }
    try {
      // One that does not help any more: something was put before it.
      if ((await removeFrom(next.table, (rule) => isPassOf(rule, next.kind))) > 0) continue;
      // Once: what is still refused after it stays so.
      errors.set(keyOf(next), '');
      await putPass(next);
    } catch (error) {
      errors.set(keyOf(next), messageOf(error));
    }
  }
}

/** A firewall that is reloaded meanwhile may take its rules away itself. */
const TRIES = 3;

/** Takes every pass out again. */
export async function removePasses(): Promise<void> {
  for (let left = TRIES; ; left -= 1) {
    try {
      for (const table of await foreignTables()) await removeFrom(table, isPass);
      return;
    } catch (error) {
      if (left === 1) throw error;
    }
  }
}

function findingsOf(host: HostNetwork, table: FilterTable): Finding[] {
  const bare = withoutPasses(table);
  return table.base.flatMap((base) =>
    kindsOf(host)
      .filter(({ hook }) => hook === base.hook)
      .flatMap((kind): Finding[] => {
        const asFound = judgeIn(bare, base.name, kind);
        if (asFound.verdict === 'accepted') return [];
        const judgement = judgeIn(table, base.name, kind);
        const passed = judgement.verdict === 'accepted';
        return [{ table, base, kind, judgement: passed ? asFound : judgement, passed }];
      }),
  );
}

function judgeIn(table: FilterTable, base: string, kind: Kind): Judgement {
  const judgement = judge(
    table,
    table.base.find(({ name }) => name === base)!,
    kind,
  );
  // A bridge joins the host's own guests: to let all reach them is not to say where packets may leave.
  const isBridge =
    judgement.verdict === 'confined' && existsSync(`/sys/class/net/${judgement.link}/bridge`);
  return isBridge ? judgement.otherwise : judgement;
}

function withoutPasses(table: FilterTable): FilterTable {
  const strip = <C extends Chain>(chain: C): C => ({
    ...chain,
    rules: chain.rules.filter((rule) => !isPass(rule)),
  });
  const chains = new Map([...table.chains].map(([name, chain]) => [name, strip(chain)]));
  return { ...table, base: table.base.map(strip), chains };
}

function isFixable({ judgement, passed }: Finding): boolean {
  return !passed && judgement.verdict === 'refused';
}

function keyOf({ table, base, kind }: Finding): string {
  return `${table.tool} ${tableWords(table)} ${base.name} ${kind.name}`;
}

async function putPass({ table, kind, judgement }: Finding): Promise<void> {
  if (judgement.verdict !== 'refused') return;
  const { tool } = table;
  if (tool === 'nft') nftables(undefined, nftPass(table, kind, judgement, 'vmsan'));
  else await run([tool, '-w', '-t', 'filter', ...iptablesPass(kind, judgement, 'vmsan')]);
}

/** @returns how many rules it removed */
async function removeFrom(table: FilterTable, which: (rule: Rule) => boolean): Promise<number> {
  let removed = 0;
  for (const { name, rules } of table.chains.values()) {
    // From the back, so that the others keep their places.
    for (const { at } of rules.filter(which).reverse()) {
      if (table.tool === 'nft') {
        nftables(undefined, `delete rule ${tableWords(table)} ${name} handle ${at}`);
      } else {
        await run([table.tool, '-w', '-t', 'filter', '-D', name, String(at)]);
      }
      removed += 1;
    }
  }
  return removed;
}
