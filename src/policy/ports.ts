import { PolicyError } from './error.ts';

/** Ports of one protocol, both ends included. */
export interface PortRange {
  readonly protocol: 'tcp' | 'udp';
  readonly first: number;
  readonly last: number;
}

/** What a rule without ports means: HTTP and HTTPS. */
const WEB: readonly PortRange[] = [only('tcp', 80), only('tcp', 443)];

/**
 * Ports that would carry names past the resolver and the proxy: DNS over TLS
 * and over QUIC (RFC 7858, RFC 9250), and QUIC, whose handshake hides its name
 * from the proxy. Rejected under domain rules.
 */
export const EVASIONS: readonly (PortRange & { readonly what: string })[] = [
  { ...only('tcp', 853), what: 'DNS over TLS' },
  { ...only('udp', 853), what: 'DNS over QUIC' },
  { ...only('udp', 443), what: 'QUIC' },
];

/** Ports that never go by address: the proxy's, the resolver's, and `EVASIONS`. */
const NOT_BY_ADDRESS: readonly PortRange[] = [
  ...WEB,
  only('tcp', 53),
  only('udp', 53),
  ...EVASIONS,
];

const PORTS = /^(?:(\*)|([1-9]\d{0,4})(?:-([1-9]\d{0,4}))?)(?:\/(tcp|udp))?$/;

/**
 * Reads what follows the colon: `22`, `5432-5440`, `53/udp`, `*`.
 * @param text undefined when there is no colon
 * @param item the whole item in quotes, for the error
 * @returns the ranges, and the canonical text with its colon
 * @throws PolicyError
 */
export function readPorts(
  text: string | undefined,
  item: string,
): { ranges: readonly PortRange[]; text: string } {
  if (text === undefined) return { ranges: WEB, text: '' };
  const [match, all, from, to, said] = PORTS.exec(text) ?? [];
  const first = all === undefined ? Number(from) : 1;
  const last = all === undefined ? Number(to ?? from) : 65_535;
  if (match === undefined || last > 65_535 || first > last) {
    throw new PolicyError(
      `${item} has no valid port`,
      'one port or range to an item: example.com:22, example.com:5432-5440, example.com:123/udp, example.com:*',
    );
  }
  if (all !== undefined && said === undefined) {
    return { ranges: [range('tcp', first, last), range('udp', first, last)], text: ':*' };
  }
  const wanted = range(said === 'udp' ? 'udp' : 'tcp', first, last);
  const evasion = EVASIONS.find((each) => without([wanted], [each]).length === 0);
  if (evasion !== undefined) {
    throw new PolicyError(
      `${item} cannot be allowed: under domain rules ${evasion.what} is rejected, because it hides names`,
    );
  }
  const ports = all ?? (first === last ? `${first}` : `${first}-${last}`);
  const suffix = said === 'udp' || all !== undefined ? `/${wanted.protocol}` : '';
  return { ranges: [wanted], text: `:${ports}${suffix}` };
}

export function holdsPort(
  ranges: readonly PortRange[],
  protocol: PortRange['protocol'],
  port: number,
): boolean {
  return ranges.some(
    (each) => each.protocol === protocol && each.first <= port && port <= each.last,
  );
}

/** The part of `ranges` that goes by address, merged and sorted. */
export function byAddress(ranges: readonly PortRange[]): readonly PortRange[] {
  const merged: PortRange[] = [];
  for (const next of without(ranges, NOT_BY_ADDRESS).toSorted(inOrder)) {
    const before = merged.at(-1);
    if (before?.protocol === next.protocol && next.first <= before.last + 1) {
      merged[merged.length - 1] = { ...before, last: Math.max(before.last, next.last) };
    } else merged.push(next);
  }
  return merged;
}

function without(ranges: readonly PortRange[], holes: readonly PortRange[]): PortRange[] {
  let left = [...ranges];
  for (const hole of holes) {
    left = left.flatMap((each) =>
      each.protocol !== hole.protocol || hole.last < each.first || each.last < hole.first
        ? [each]
        : [
            { ...each, last: hole.first - 1 },
            { ...each, first: hole.last + 1 },
          ].filter(({ first, last }) => first <= last),
    );
  }
  return left;
}

function inOrder(a: PortRange, b: PortRange): number {
  return a.protocol.localeCompare(b.protocol) || a.first - b.first;
}

function only(protocol: PortRange['protocol'], port: number): PortRange {
  return range(protocol, port, port);
}

function range(protocol: PortRange['protocol'], first: number, last: number): PortRange {
  return { protocol, first, last };
}
