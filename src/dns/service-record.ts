import { readName } from './name.ts';

/**
 * The data of SVCB and HTTPS records (RFC 9460 section 2.2):
 *
 *     0  priority:16, target (never compressed)
 *        then parameters: key:16 length:16 value, keys strictly rising
 */
const PARAMETER = { mandatory: 0, alpn: 1, noDefaultAlpn: 2, port: 3 } as const;
/**
 * What a guest under domain rules gets to see. Left out are `ech` (5), which
 * would hide the name from the proxy, the addresses of `ipv4hint` (4) and
 * `ipv6hint` (6), which nothing has judged, and whatever is yet to be invented.
 */
const KEPT = new Set<number>(Object.values(PARAMETER));

/**
 * The data without the parameters that a guest may not see.
 * @returns null when it is malformed, or cannot be used without one of those
 */
export function strippedServiceData(data: Buffer): Buffer | null {
  if (data.length < 3) return null;
  const target = readName(data, 2);
  if (target === null || target.next - 2 !== target.name.length) return null;
  const parameters = readParameters(data, target.next);
  if (parameters === null) return null;
  const head = data.subarray(0, target.next);
  // An alias (priority 0) has none that count (section 2.4.2).
  if (data.readUInt16BE(0) === 0) return Buffer.from(head);
  const mandatory = mandatoryKeys(parameters.get(PARAMETER.mandatory)?.subarray(4));
  if (mandatory === null || mandatory.some((key) => !KEPT.has(key) || !parameters.has(key))) {
    return null;
  }
  const kept = [...parameters].filter(([key]) => KEPT.has(key)).map(([, bytes]) => bytes);
  return Buffer.concat([head, ...kept]);
}

/** Each parameter whole, by its key. */
function readParameters(data: Buffer, start: number): Map<number, Buffer> | null {
  const parameters = new Map<number, Buffer>();
  let last = -1;
  for (let at = start; at < data.length;) {
    if (at + 4 > data.length) return null;
    const key = data.readUInt16BE(at);
    const end = at + 4 + data.readUInt16BE(at + 2);
    if (key <= last || end > data.length) return null;
    parameters.set(key, data.subarray(at, end));
    last = key;
    at = end;
  }
  return parameters;
}

/** The keys that `mandatory` names (section 8), strictly rising, itself not among them. */
function mandatoryKeys(value: Buffer | undefined): number[] | null {
  if (value === undefined) return [];
  if (value.length === 0 || value.length % 2 !== 0) return null;
  const keys = Array.from({ length: value.length / 2 }, (_, i) => value.readUInt16BE(i * 2));
  const rises = keys.every((key, i) => key > (keys[i - 1] ?? PARAMETER.mandatory));
  return rises ? keys : null;
}
