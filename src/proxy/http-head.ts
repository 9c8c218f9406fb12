import { METHODS } from 'node:http';
import { listOf, parseFields, readLines, valuesOf, type Field } from './http-fields.ts';
import { readServerName } from './server-name.ts';

/** How many bytes of body follow a head. */
export type Framing = { kind: 'none' } | { kind: 'length'; bytes: number } | { kind: 'chunked' };

export interface RequestHead {
  method: string;
  /** The host that target and `Host` agree on, lower case, without its port. */
  host: string;
  /** From "/" on, or "*"; printable. */
  path: string;
  body: Framing;
  /** It asks to go on in another protocol, and says which. */
  upgrade: boolean;
  /** Bytes of the head. */
  length: number;
}

export type RequestProblem = 'malformed' | 'ambiguous' | 'host' | 'h2c' | 'method';

export type RequestReading =
  | { kind: 'more' }
  | { kind: 'head'; head: RequestHead }
  | { kind: 'bad'; problem: RequestProblem; reason: string };

/** CONNECT would make a tunnel of us; Node's parser and so these tests know no others. */
const KNOWN_METHODS = new Set(METHODS.filter((method) => method !== 'CONNECT'));
const REQUEST_LINE = /^([^ ]+) ([\x21-\x7e\x80-\xff]+) HTTP\/1\.([01])$/;
const ABSOLUTE = /^http:\/\/([^/?#]*)(.*)$/i;
const HTTP_PORT = 80;

/** Those that say where a message ends or goes: written with "_" some servers take them for the real ones. */
const VITAL = ['host', 'content-length', 'transfer-encoding', 'upgrade', 'connection'];
const MAX_PATH = 200;

/**
 * Reads the head of an HTTP/1 request as it arrives on `port`. What different
 * servers could read differently is refused: both must see the host that we
 * judge, and the end that we see. Total; it says the same however the bytes
 * came. Reasons hold no text of the guest's.
 */
export function readRequestHead(bytes: Buffer, port: number): RequestReading {
  const reading = readLines(bytes);
  if (reading.kind === 'more') return reading;
  if (reading.kind === 'bad') return bad('malformed', reading.reason);
  const [requestLine = '', ...lines] = reading.lines;
  const match = REQUEST_LINE.exec(requestLine);
  if (match === null) return badRequestLine(requestLine);
  const [, method = '', target = '', minor = ''] = match;
  if (!KNOWN_METHODS.has(method)) {
    const why = method === 'CONNECT' ? 'CONNECT is not for this port' : 'it has an unknown method';
    return bad('method', why);
  }
  const fields = parseFields(lines);
  if (typeof fields === 'string') return bad('malformed', fields);
  const disguised = disguise(fields);
  if (disguised !== null) return bad('ambiguous', disguised);

  const host = readHost(fields, port);
  if ('kind' in host) return host;
  const path = readTarget(method, target, host.name, port);
  if (typeof path !== 'string') return path;
  const body = readFraming(fields, minor);
  if (typeof body === 'string') return bad('ambiguous', body);
  const upgrade = readUpgrade(fields);
  if (typeof upgrade !== 'boolean') return upgrade;
  const head = { method, host: host.name, path, body, upgrade, length: reading.length };
  return { kind: 'head', head };
}

function badRequestLine(line: string): RequestReading {
  if (line === 'PRI * HTTP/2.0') return bad('h2c', 'it is HTTP/2 without TLS');
  return bad('malformed', 'the first line is no HTTP/1 request');
}

function disguise(fields: readonly Field[]): string | null {
  for (const { name } of fields) {
    if (name.includes('_') && VITAL.includes(name.replaceAll('_', '-'))) {
      return 'a field has nearly the name of one that matters';
    }
  }
  // What "Connection" lists, an intermediary takes away.
  return listOf(fields, 'connection').some((name) => VITAL.includes(name) && name !== 'upgrade')
    ? '"Connection" lists a field that matters'
    : null;
}

/** The one `Host`. HTTP/1.0 needs it here too: it is what is judged. */
function readHost(fields: readonly Field[], port: number): { name: string } | RequestReading {
  const hosts = valuesOf(fields, 'host');
  if (hosts.length === 0) return bad('host', 'it has no "Host"');
  if (hosts.length > 1) return bad('host', 'it has more than one "Host"');
  const authority = readAuthority(hosts[0] ?? '', port);
  return typeof authority === 'string' ? bad('host', `"Host": ${authority}`) : authority;
}

/** @returns the name, or in words what is wrong */
function readAuthority(text: string, port: number): { name: string } | string {
  const [, host = text, digits] = /^(.*):([0-9]*)$/.exec(text) ?? [];
  const meant = digits === undefined ? HTTP_PORT : /^[1-9][0-9]{0,4}$/.test(digits) ? +digits : NaN;
  if (meant !== port && !text.startsWith('[')) return `the port is not ${port}`;
  const reading = readServerName(host);
  return 'problem' in reading ? reading.reason : reading;
}

/** @returns the path, printable */
function readTarget(
  method: string,
  target: string,
  host: string,
  port: number,
): string | RequestReading {
  if (target.startsWith('/')) return printable(target);
  if (target === '*' && method === 'OPTIONS') return target;
  const match = ABSOLUTE.exec(target);
  if (match === null) return bad('malformed', 'its target is neither a path nor an http:// URL');
  const [, authority = '', path = ''] = match;
  const meant = readAuthority(authority, port);
  if (typeof meant === 'string') return bad('host', `its URL: ${meant}`);
  if (meant.name !== host) return bad('host', 'its URL and "Host" name different hosts');
  return printable(path.startsWith('/') ? path : `/${path}`);
}

function printable(path: string): string {
  return path.slice(0, MAX_PATH).replace(/[^\x21-\x7e]/g, '?');
}

/** RFC 9112 6.3, strictly. @returns in words what is wrong, as text */
function readFraming(fields: readonly Field[], minor: string): Framing | string {
  const lengths = valuesOf(fields, 'content-length');
  const codings = valuesOf(fields, 'transfer-encoding');
  if (codings.length > 0) {
    if (lengths.length > 0) return 'it has both "Content-Length" and "Transfer-Encoding"';
    if (minor === '0') return 'HTTP/1.0 has no "Transfer-Encoding"';
    if (codings.length > 1 || codings[0]?.toLowerCase() !== 'chunked') {
      return 'its "Transfer-Encoding" is not just "chunked"';
    }
    return { kind: 'chunked' };
  }
  if (lengths.length === 0) return { kind: 'none' };
  if (lengths.length > 1) return 'it has more than one "Content-Length"';
  if (!/^(?:0|[1-9][0-9]{0,14})$/.test(lengths[0] ?? '')) return '"Content-Length" is no number';
  const bytes = Number(lengths[0]);
  return bytes === 0 ? { kind: 'none' } : { kind: 'length', bytes };
}

function readUpgrade(fields: readonly Field[]): boolean | RequestReading {
  const protocols = listOf(fields, 'upgrade');
  const toHttp2 = protocols.some((one) => /^(?:h2|http\/)/.test(one));
  if (toHttp2 || valuesOf(fields, 'http2-settings').length > 0) {
    return bad('h2c', 'it asks for HTTP/2 without TLS');
  }
  return protocols.length > 0;
}

function bad(problem: RequestProblem, reason: string): RequestReading & { kind: 'bad' } {
  return { kind: 'bad', problem, reason };
}
