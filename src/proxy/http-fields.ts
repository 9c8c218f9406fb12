/** A field line of a head (RFC 9112 5), its name in lower case. */
export interface Field {
  name: string;
  value: string;
}

/** Longest head or trailer section, bytes; nginx takes 32 KiB too. */
export const MAX_HEAD = 1 << 15;
/** Lines of one head. */
export const MAX_FIELDS = 128;

const CR = 0x0d;
const LF = 0x0a;

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Visible ASCII, space, tab and bytes above ASCII; no other control character (RFC 9110 5.5). */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

export type HeadLines =
  | { kind: 'more' }
  | { kind: 'bad'; reason: string }
  | { kind: 'head'; lines: string[]; length: number };

/**
 * The lines of a head, up to and with the empty one. Only CR LF ends a line: a
 * bare one of the two is a line's end to some and not to others.
 * @param isEmptyWhole whether an empty line alone is a whole section, as of trailers
 * @returns lines without their ends, latin1, and the bytes of all
 */
export function readLines(bytes: Buffer, isEmptyWhole = false): HeadLines {
  const end = Math.min(bytes.length, MAX_HEAD);
  let start = 0;
  let count = 0;
  for (let at = 0; at < end; at++) {
    const byte = bytes[at];
    if (byte === LF) return bad('a line ends without CR');
    if (byte !== CR) continue;
    if (at + 1 >= end) break;
    if (bytes[at + 1] !== LF) return bad('a CR stands alone');
    if (at === start) {
      if (count === 0 && !isEmptyWhole) return bad('an empty line comes first');
      const text = bytes.toString('latin1', 0, at);
      return { kind: 'head', lines: text.split('\r\n').slice(0, count), length: at + 2 };
    }
    count++;
    if (count > MAX_FIELDS + 1) return bad(`the head has more than ${MAX_FIELDS} fields`);
    at++;
    start = at + 1;
  }
  if (bytes.length >= MAX_HEAD) return bad(`the head is over ${MAX_HEAD} bytes`);
  return { kind: 'more' };
}

/** @returns the fields, or in words what is wrong with them */
export function parseFields(lines: readonly string[]): Field[] | string {
  const fields: Field[] = [];
  for (const line of lines) {
    if (line.startsWith(' ') || line.startsWith('\t')) return 'a field goes on in the next line';
    const colon = line.indexOf(':');
    if (colon === -1) return 'a field has no colon';
    const name = line.slice(0, colon);
    if (!TOKEN.test(name)) return 'a field has an odd name';
    const value = line.slice(colon + 1);
    if (!VALUE.test(value)) return 'a field has a control character';
    fields.push({ name: name.toLowerCase(), value: value.replace(/^[ \t]+|[ \t]+$/g, '') });
  }
  return fields;
}

export function valuesOf(fields: readonly Field[], name: string): string[] {
  return fields.filter((field) => field.name === name).map(({ value }) => value);
}

/** The elements of comma lists (RFC 9110 5.6.1), lower case. */
export function listOf(fields: readonly Field[], name: string): string[] {
  return valuesOf(fields, name)
    .flatMap((value) => value.split(','))
    .map((element) => element.replace(/^[ \t]+|[ \t]+$/g, '').toLowerCase())
    .filter((element) => element !== '');
}

function bad(reason: string): HeadLines {
  return { kind: 'bad', reason };
}
