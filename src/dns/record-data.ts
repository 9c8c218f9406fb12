import { readName, type Name } from './name.ts';

/**
 * Where names stand in the data of the types whose names a sender may have
 * compressed: after `before` bytes there are `names` names; what follows is
 * plain bytes. RFC 3597 section 4 lists them; `compress` are those of RFC 1035,
 * the only ones in which we may compress as well.
 */
interface Layout {
  before: number;
  names: number;
  compress: boolean;
}

const ONE_NAME: Layout = { before: 0, names: 1, compress: true };
const LAYOUTS = new Map<number, Layout>([
  [2, ONE_NAME], // NS
  [3, ONE_NAME], // MD
  [4, ONE_NAME], // MF
  [5, ONE_NAME], // CNAME
  [6, { before: 0, names: 2, compress: true }], // SOA
  [7, ONE_NAME], // MB
  [8, ONE_NAME], // MG
  [9, ONE_NAME], // MR
  [12, ONE_NAME], // PTR
  [14, { before: 0, names: 2, compress: true }], // MINFO
  [15, { before: 2, names: 1, compress: true }], // MX
  [17, { before: 0, names: 2, compress: false }], // RP
  [18, { before: 2, names: 1, compress: false }], // AFSDB
  [21, { before: 2, names: 1, compress: false }], // RT
  [26, { before: 2, names: 2, compress: false }], // PX
  [33, { before: 6, names: 1, compress: false }], // SRV
  [39, { before: 0, names: 1, compress: false }], // DNAME
]);

/**
 * The data of a record of `type` that stands at `start` to `end` in `message`,
 * names in it expanded; null if a name in it is malformed or ends elsewhere.
 */
export function readRecordData(
  message: Buffer,
  type: number,
  start: number,
  end: number,
): Buffer | null {
  const parts = splitRecordData(message, type, start, end);
  // A copy: one record that is kept must not keep the whole message.
  return parts && Buffer.concat(parts.map((part) => part.bytes));
}

/** A piece of a record's data: plain bytes, or a name that may be compressed when it is sent. */
export type DataPart = { kind: 'bytes'; bytes: Buffer } | { kind: 'name'; bytes: Name };

/** The data at `start` to `end` of `message` in pieces, or null if it has not the form of its type. */
export function splitRecordData(
  message: Buffer,
  type: number,
  start: number,
  end: number,
): DataPart[] | null {
  const layout = LAYOUTS.get(type);
  // An empty record is legal in an update only, but harmless: nothing to expand.
  if (layout === undefined || start === end) {
    return [{ kind: 'bytes', bytes: message.subarray(start, end) }];
  }
  let at = start + layout.before;
  if (at > end) return null;
  const parts: DataPart[] = [{ kind: 'bytes', bytes: message.subarray(start, at) }];
  for (let i = 0; i < layout.names; i++) {
    const name = readName(message, at);
    if (name === null || name.next > end) return null;
    parts.push({ kind: layout.compress ? 'name' : 'bytes', bytes: name.name });
    at = name.next;
  }
  parts.push({ kind: 'bytes', bytes: message.subarray(at, end) });
  return parts;
}
