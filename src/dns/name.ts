/**
 * A domain name as it goes over the wire, uncompressed (RFC 1035 3.1): labels
 * of one length byte (1 to 63) and that many bytes, then a zero byte; at most
 * 255 bytes in all. Names stay in this form because text would merge distinct
 * names: a label may hold any byte, a dot too, and "a.b" as one label is not
 * the two labels "a" and "b".
 */
export type Name = Buffer;

const MAX_NAME = 255;
/** The two high bits of a length byte that make it a compression pointer (RFC 1035 4.1.4). */
const POINTER = 0xc0;

/**
 * Reads the name at `offset`, following compression pointers. A pointer must
 * go before the place where the present run of labels began, so that following
 * them ends.
 * @returns the expanded name and the offset after it, or null
 */
export function readName(message: Buffer, offset: number): { name: Name; next: number } | null {
  const labels: Buffer[] = [];
  let total = 1;
  let at = offset;
  let runStart = offset;
  let next = -1;
  for (;;) {
    const length = message[at];
    if (length === undefined) return null;
    if (length === 0) {
      labels.push(message.subarray(at, at + 1));
      return { name: Buffer.concat(labels, total), next: next === -1 ? at + 1 : next };
    }
    if ((length & POINTER) === POINTER) {
      const low = message[at + 1];
      if (low === undefined) return null;
      const target = ((length & ~POINTER) << 8) | low;
      if (target >= runStart) return null;
      if (next === -1) next = at + 2;
      at = target;
      runStart = target;
      continue;
    }
    if ((length & POINTER) !== 0) return null;
    const end = at + 1 + length;
    total += 1 + length;
    if (end > message.length || total > MAX_NAME) return null;
    labels.push(message.subarray(at, end));
    at = end;
  }
}

/**
 * A name of plain labels, such as policies have, in wire form.
 * @param text without a final dot
 * @returns null for an empty or over-long label or name
 */
export function wireName(text: string): Name | null {
  const labels = text.split('.').map((label) => Buffer.from(label, 'latin1'));
  if (labels.some(({ length }) => length === 0 || length > 63)) return null;
  const parts = labels.flatMap((label) => [Buffer.from([label.length]), label]);
  const name = Buffer.concat([...parts, Buffer.from([0])]);
  return name.length > MAX_NAME ? null : name;
}

/** ASCII letters in lower case, all other bytes as they are (RFC 4343). Length bytes are no letters. */
export function lowerName(name: Name): Name {
  const lower = Buffer.from(name);
  for (let i = 0; i < lower.length; i++) {
    const byte = lower[i] ?? 0;
    if (byte >= 0x41 && byte <= 0x5a) lower[i] = byte | 0x20;
  }
  return lower;
}

/** Equal but for the case of ASCII letters. */
export function sameName(a: Name, b: Name): boolean {
  return a.length === b.length && (a.equals(b) || lowerName(a).equals(lowerName(b)));
}

/** What needs no escape. */
const PLAIN = /^[a-zA-Z0-9_-]+$/;

/**
 * The name as text without the last dot ("." for the root), printable whatever
 * a guest sent: dots and backslashes inside a label as `\.` and `\\`, other
 * bytes than visible ASCII as `\DDD` (RFC 1035 5.1). Distinct names give
 * distinct texts. At most 1003 characters.
 */
export function nameText(name: Name): string {
  const labels: string[] = [];
  for (let at = 0; at < name.length;) {
    const length = name[at] ?? 0;
    if (length === 0) break;
    labels.push(labelText(name.subarray(at + 1, at + 1 + length)));
    at += 1 + length;
  }
  return labels.length === 0 ? '.' : labels.join('.');
}

function labelText(label: Buffer): string {
  const text = label.toString('latin1');
  if (PLAIN.test(text)) return text;
  let escaped = '';
  for (const byte of label) {
    if (byte === 0x2e || byte === 0x5c) escaped += `\\${String.fromCharCode(byte)}`;
    else if (byte > 0x20 && byte < 0x7f) escaped += String.fromCharCode(byte);
    else escaped += `\\${String(byte).padStart(3, '0')}`;
  }
  return escaped;
}
