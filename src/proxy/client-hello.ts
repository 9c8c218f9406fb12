import { readServerName } from './server-name.ts';
import {
  CONTENT,
  Cursor,
  HANDSHAKE_HEADER,
  MAX_CIPHERTEXT,
  MAX_PLAINTEXT,
  RECORD_HEADER,
} from './tls-records.ts';

/** What of a ClientHello (RFC 8446 4.1.2) a decision depends on. */
export interface ClientHello {
  /** Lower case. */
  serverName: string;
  /** ALPN, printable. */
  protocols: string[];
  /** TLS versions offered, 0x0303 for 1.2. */
  versions: number[];
  /** Bytes of the stream up to the end of its last record. */
  length: number;
}

/** Why a stream is refused, for the log; `reason` is for people and holds no text of the guest's. */
export type HelloProblem = 'not-tls' | 'malformed' | 'too-long' | 'no-name' | 'name' | 'ech';

export type HelloReading =
  | { kind: 'more' }
  | { kind: 'hello'; hello: ClientHello }
  | { kind: 'bad'; problem: HelloProblem; reason: string };

/** Longest ClientHello, bytes. Those with post-quantum key shares have about 2 000. */
export const MAX_HELLO = 1 << 14;
/** Records that one hello may be cut into: some clients cut it into a few. */
export const MAX_RECORDS = 64;
/** What may lie before the second hello: data sent early that the server has refused. */
const MAX_BEFORE_SECOND = 1 << 16;
/** The bytes that must be held to read a hello to its end. */
export const MAX_HELD = MAX_BEFORE_SECOND + MAX_HELLO + MAX_RECORDS * RECORD_HEADER;

const CLIENT_HELLO = 1;
const EXTENSION = { SERVER_NAME: 0, ALPN: 16, SUPPORTED_VERSIONS: 43 } as const;
const HOST_NAME = 0;
/** Encrypted Client Hello (RFC 9849) and the drafts before it, and ESNI: the name that counts would be hidden. */
const ENCRYPTED = new Set([0xfd00, 0xfe08, 0xfe09, 0xfe0a, 0xfe0b, 0xfe0c, 0xfe0d, 0xffce]);

const MORE: HelloReading = { kind: 'more' };

/**
 * Reads the ClientHello that a TLS connection begins with, however records and
 * segments cut it. Total; what it says of a stream does not depend on how much
 * of it is there, once it says anything but `more`.
 */
export function readClientHello(bytes: Buffer): HelloReading {
  const gathered = gatherHello(bytes);
  if (!('message' in gathered)) return gathered;
  return parseHello(gathered.message, gathered.length);
}

/**
 * Reads the ClientHello that answers a HelloRetryRequest (RFC 8446 4.1.4).
 * Before it may come change_cipher_spec (RFC 8446 D.4) and early data, which
 * the server has refused and skips (4.2.10). `length` counts them too. An alert
 * ends what the client has to say.
 */
export function readSecondHello(bytes: Buffer): HelloReading | { kind: 'alert'; length: number } {
  let at = 0;
  while (bytes.length > at) {
    const type = bytes[at];
    if (type === CONTENT.HANDSHAKE) return shifted(readClientHello(bytes.subarray(at)), at);
    const isAlert = type === CONTENT.ALERT;
    if (!isAlert && type !== CONTENT.CHANGE_CIPHER_SPEC && type !== CONTENT.APPLICATION) {
      return bad('malformed', 'no ClientHello follows the HelloRetryRequest');
    }
    if (bytes.length < at + RECORD_HEADER) return MORE;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > MAX_CIPHERTEXT) return BAD_RECORD;
    const end = at + RECORD_HEADER + length;
    if (end > MAX_BEFORE_SECOND) return bad('too-long', 'too much lies before the second hello');
    if (bytes.length < end) return MORE;
    if (isAlert) return { kind: 'alert', length: end };
    at = end;
  }
  return MORE;
}

function shifted(reading: HelloReading, by: number): HelloReading {
  if (reading.kind !== 'hello') return reading;
  const { hello } = reading;
  return { kind: 'hello', hello: { ...hello, length: by + hello.length } };
}

/** The handshake message's body, out of as many records as it has. */
function gatherHello(bytes: Buffer): HelloReading | { message: Buffer; length: number } {
  const fragments: Buffer[] = [];
  let at = 0;
  let have = 0;
  let wanted = 0;
  for (let records = 0; records < MAX_RECORDS; records++) {
    const type = bytes[at];
    if (type === undefined) return MORE;
    if (type !== CONTENT.HANDSHAKE) return notHandshake(type, records);
    const major = bytes[at + 1];
    if (major === undefined) return MORE;
    if (major !== 3) return bad('not-tls', 'this is not TLS');
    if (bytes.length < at + RECORD_HEADER) return MORE;
    const length = bytes.readUInt16BE(at + 3);
    // A handshake record is never empty (RFC 8446 5.1).
    if (length === 0 || length > MAX_PLAINTEXT) return BAD_RECORD;
    const start = at + RECORD_HEADER;
    const fragment = bytes.subarray(start, start + length);
    fragments.push(fragment);
    at = start + length;
    if (wanted === 0) {
      const head = headOf(fragments);
      if (head[0] !== undefined && head[0] !== CLIENT_HELLO) {
        return bad('malformed', 'the first message is not a ClientHello');
      }
      if (head.length === HANDSHAKE_HEADER) {
        wanted = HANDSHAKE_HEADER + head.readUIntBE(1, 3);
        if (wanted > MAX_HELLO)
          return bad('too-long', `the ClientHello is over ${MAX_HELLO} bytes`);
      }
    }
    have += length;
    // Nothing may share a record with its end: keys could change there (RFC 8446 5.1).
    if (wanted !== 0 && have > wanted) {
      return bad('malformed', 'more than the ClientHello is in its record');
    }
    if (fragment.length < length) return MORE;
    if (have === wanted) {
      const message = Buffer.concat(fragments, have).subarray(HANDSHAKE_HEADER);
      return { message, length: at };
    }
  }
  return bad('too-long', `the ClientHello is cut into more than ${MAX_RECORDS} records`);
}

function headOf(fragments: readonly Buffer[]): Buffer {
  return Buffer.concat(fragments.map((one) => one.subarray(0, HANDSHAKE_HEADER))).subarray(
    0,
    HANDSHAKE_HEADER,
  );
}

function parseHello(message: Buffer, length: number): HelloReading {
  const cursor = new Cursor(message);
  const version = cursor.number(2);
  cursor.bytes(32);
  const session = cursor.vector(1);
  const ciphers = cursor.vector(2);
  const compressions = cursor.vector(1);
  if (version === null || session === null || ciphers === null || compressions === null) {
    return BAD_HELLO;
  }
  const isSound =
    version >> 8 === 3 &&
    session.length <= 32 &&
    ciphers.length >= 2 &&
    ciphers.length % 2 === 0 &&
    compressions.length >= 1;
  if (!isSound) return BAD_HELLO;
  // TLS 1.0 to 1.2 may have none at all.
  if (cursor.isDone()) return NO_NAME;
  const list = cursor.vector(2);
  if (list === null || !cursor.isDone()) return BAD_HELLO;
  const extensions = readExtensions(list);
  if (extensions === null) return BAD_HELLO;

  for (const type of extensions.keys()) {
    if (ENCRYPTED.has(type)) {
      return bad('ech', 'it has an Encrypted Client Hello, which hides the name that is meant');
    }
  }
  const names = extensions.get(EXTENSION.SERVER_NAME);
  if (names === undefined) return NO_NAME;
  const text = readNameList(names);
  if (text === null) return BAD_NAMES;
  const reading = readServerName(text);
  if ('problem' in reading) return bad('name', `its server name is refused: ${reading.reason}`);
  const protocols = readProtocols(extensions.get(EXTENSION.ALPN));
  const versions = readVersions(extensions.get(EXTENSION.SUPPORTED_VERSIONS), version);
  if (protocols === null || versions === null) return BAD_HELLO;
  return { kind: 'hello', hello: { serverName: reading.name, protocols, versions, length } };
}

/** By type; null when malformed or one comes twice (RFC 8446 4.2): servers differ in which they take. */
function readExtensions(list: Buffer): Map<number, Buffer> | null {
  const cursor = new Cursor(list);
  const extensions = new Map<number, Buffer>();
  while (!cursor.isDone()) {
    const type = cursor.number(2);
    const data = cursor.vector(2);
    if (type === null || data === null || extensions.has(type)) return null;
    extensions.set(type, data);
  }
  return extensions;
}

/** The one host name of a server_name extension (RFC 6066 3), or null. */
function readNameList(data: Buffer): string | null {
  const outer = new Cursor(data);
  const list = outer.vector(2);
  if (list === null || !outer.isDone()) return null;
  const cursor = new Cursor(list);
  const type = cursor.number(1);
  const name = cursor.vector(2);
  if (type !== HOST_NAME || name === null || !cursor.isDone()) return null;
  return name.toString('latin1');
}

function readProtocols(data: Buffer | undefined): string[] | null {
  if (data === undefined) return [];
  const outer = new Cursor(data);
  const list = outer.vector(2);
  if (list === null || !outer.isDone()) return null;
  const cursor = new Cursor(list);
  const protocols: string[] = [];
  while (!cursor.isDone()) {
    const name = cursor.vector(1);
    if (name === null || name.length === 0) return null;
    protocols.push(name.toString('latin1').replace(/[^\x21-\x7e]/g, '?'));
  }
  return protocols;
}

function readVersions(data: Buffer | undefined, legacy: number): number[] | null {
  if (data === undefined) return [legacy];
  const outer = new Cursor(data);
  const list = outer.vector(1);
  if (list === null || !outer.isDone() || list.length < 2 || list.length % 2 !== 0) return null;
  return Array.from({ length: list.length / 2 }, (_, i) => list.readUInt16BE(2 * i));
}

function notHandshake(type: number, records: number): HelloReading {
  if (records > 0) return bad('malformed', 'something cuts the ClientHello in two');
  // Two bytes of length with the high bit set, then message type 1 (RFC 6101 E).
  if (type >= 0x80) return bad('not-tls', 'this is not TLS, or SSL 2.0');
  return bad('not-tls', 'this is not TLS');
}

function bad(problem: HelloProblem, reason: string): HelloReading & { kind: 'bad' } {
  return { kind: 'bad', problem, reason };
}

const BAD_RECORD = bad('malformed', 'a TLS record has an impossible length');
const BAD_HELLO = bad('malformed', 'the ClientHello is malformed');
const NO_NAME = bad('no-name', 'it names no server (no SNI)');
const BAD_NAMES = bad('name', 'it does not name exactly one server');
