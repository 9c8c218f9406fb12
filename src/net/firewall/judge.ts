import type { BaseChain, Chain, FilterTable, Rule } from './chain.ts';
import { holds, type Answer, type Kind } from './packets.ts';

/** What a base chain does to packets of a kind which nothing in it speaks of in particular. */
export type Judgement =
  | { verdict: 'accepted' }
  /** For want of anything better. */
  | Refusal
  /** As refused, but for what leaves by `link`: somebody said where packets may go, as VPNs do. */
  | { verdict: 'confined'; link: string; otherwise: Refusal };

export interface Refusal {
  verdict: 'refused';
  chain: string;
  /** Of the rule; null: the chain's end. */
  at: number | null;
}

/**
 * Follows packets of a kind through a chain. A rule with conditions that are
 * true of some of them decides for those alone; what it says still holds after
 * an accept is put where all the others are refused.
 */
export function judge(table: FilterTable, base: BaseChain, kind: Kind): Judgement {
  const walk = new Walk(table, kind);
  const end = walk.follow(base, 0);
  if (end.kind === 'accept') return { verdict: 'accepted' };
  const refused = end.kind === 'refuse' || base.policy === 'refuse';
  if (!refused) return { verdict: 'accepted' };
  const place = end.kind === 'refuse' ? end.place : { chain: base.name, at: null };
  const refusal: Refusal = { verdict: 'refused', ...place };
  if (walk.confinedTo === null) return refusal;
  return { verdict: 'confined', link: walk.confinedTo, otherwise: refusal };
}

type End =
  | { kind: 'accept' }
  | { kind: 'refuse'; place: { chain: string; at: number } }
  /** Whoever came here goes on where they came from. */
  | { kind: 'return' };

/** Deeper than any chain of jumps that the kernel takes (NFT_JUMP_STACK_SIZE, nf_tables.h). */
const DEEPEST = 17;

class Walk {
  readonly #table: FilterTable;
  readonly #kind: Kind;
  readonly #uses: ReadonlyMap<string, number>;
  confinedTo: string | null = null;

  constructor(table: FilterTable, kind: Kind) {
    this.#table = table;
    this.#kind = kind;
    this.#uses = usesOf(table);
  }

  follow(chain: Chain, depth: number): End {
    if (depth > DEEPEST) return { kind: 'return' };
    let someReturned = false;
    for (const rule of chain.rules) {
      const applies = this.#applies(rule);
      if (applies === 'no') continue;
      if (applies === 'some') {
        if (rule.outcome.kind === 'return') someReturned = true;
        if (rule.outcome.kind === 'accept') this.confinedTo ??= this.#onlyLink(rule);
        continue;
      }
      const end = this.#endOf(rule, chain, depth);
      if (end === null) continue;
      return someReturned ? { kind: 'return' } : end;
    }
    return { kind: 'return' };
  }

  /** Null: packets go on to the next rule. */
  #endOf(rule: Rule, chain: Chain, depth: number): End | null {
    const { outcome } = rule;
    const here = { chain: chain.name, at: rule.at };
    switch (outcome.kind) {
      case 'accept':
      case 'return':
        return { kind: outcome.kind };
      case 'refuse':
        return { kind: 'refuse', place: here };
      case 'none':
        return null;
      case 'jump':
      case 'goto': {
        const target = this.#table.chains.get(outcome.chain);
        const end: End = target === undefined ? { kind: 'return' } : this.follow(target, depth + 1);
        if (end.kind === 'return') return outcome.kind === 'goto' ? end : null;
        // In a chain that others use too, an accept would be for what they send there as well.
        const shared = (this.#uses.get(outcome.chain) ?? 0) > 1;
        return end.kind === 'refuse' && shared ? { kind: 'refuse', place: here } : end;
      }
    }
  }

  #applies(rule: Rule): Answer {
    const answers = rule.conditions.map((condition) => holds(condition, this.#kind));
    if (answers.includes('no')) return 'no';
    return answers.includes('some') ? 'some' : 'yes';
  }

  /** The link by which all may leave: that it is this one is all that a rule asks of packets that go out. */
  #onlyLink({ conditions }: Rule): string | null {
    if (this.#kind.name !== 'outward') return null;
    const open = conditions.filter((condition) => holds(condition, this.#kind) === 'some');
    const [only] = open;
    const named = only?.kind === 'to link' && !only.not && open.length === 1;
    return named ? (only.names[0] ?? null) : null;
  }
}

/** How many rules lead to each chain. */
function usesOf(table: FilterTable): Map<string, number> {
  const uses = new Map<string, number>();
  for (const { rules } of table.chains.values()) {
    for (const { outcome } of rules) {
      if (outcome.kind !== 'jump' && outcome.kind !== 'goto') continue;
      uses.set(outcome.chain, (uses.get(outcome.chain) ?? 0) + 1);
    }
  }
  return uses;
}
