import type { PortRange } from '../policy/ports.ts';

/** An address that an allowed name holds, for ports that go by address: an element of `learned`. */
export interface Learned extends PortRange {
  readonly address: string;
  /** From now on. */
  readonly milliseconds: number;
}

/** The type of the set, in the ruleset of a VM under domain rules. */
export const LEARNED_SET = 'learned';

/**
 * Puts `added` in the place of `removed`, in one transaction. An element whose
 * time is up may be gone: each is added first, so that it can be deleted, which
 * is also how a kernel before 6.12 gives one more time.
 */
export function renderLearnedChange(
  removed: readonly Learned[],
  added: readonly Learned[],
): string {
  const each = (verb: string, elements: readonly string[]) =>
    elements.length === 0
      ? ''
      : `${verb} element inet vmsan ${LEARNED_SET} { ${elements.join(', ')} }\n`;
  const keys = removed.map(keyOf);
  return each('add', keys) + each('delete', keys) + each('add', added.map(renderLearned));
}

/** An element with its time. */
export function renderLearned(element: Learned): string {
  return `${keyOf(element)} timeout ${Math.ceil(element.milliseconds)}ms`;
}

function keyOf({ address, protocol, first, last }: Learned): string {
  return `${address} . ${protocol} . ${first === last ? first : `${first}-${last}`}`;
}
