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
 * @param table the VM's
 */
export function renderLearnedChange(
  table: string,
  removed: readonly Learned[],
  added: readonly Learned[],
): string {
  const each = (verb: string, elements: readonly string[]) =>
    elements.length === 0
      ? ''
      : `${verb} element inet ${table} ${LEARNED_SET} { ${elements.join(', ')} }\n`;
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

/** What one name holds of an address: ports, and until when. */
export interface Held {
  readonly ports: readonly PortRange[];
  /** From now on; not above 0 means no longer. */
  readonly milliseconds: number;
}

/**
 * The elements of one address. The set takes no ranges that overlap, so what
 * several names hold is cut at every end, and each piece lasts as long as the
 * last of them.
 */
export function learnedOf(address: string, held: readonly Held[]): Learned[] {
  const ranges = held.flatMap(({ ports, milliseconds }) =>
    milliseconds > 0 ? ports.map((each) => ({ ...each, milliseconds })) : [],
  );
  return (['tcp', 'udp'] as const).flatMap((protocol) => {
    const own = ranges.filter((each) => each.protocol === protocol);
    const cuts = own.flatMap(({ first, last }) => [first, last + 1]);
    const starts = [...new Set(cuts)].toSorted((a, b) => a - b);
    return starts.flatMap((first, index): Learned[] => {
      const over = own.filter((each) => each.first <= first && first <= each.last);
      if (over.length === 0) return [];
      const milliseconds = Math.max(...over.map((each) => each.milliseconds));
      return [{ address, protocol, first, last: starts[index + 1]! - 1, milliseconds }];
    });
  });
}
