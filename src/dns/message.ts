import { readName, type Name } from './name.ts';
import { readRecordData } from './record-data.ts';

/**
 * DNS messages: bytes in, value or null out.
 *
 *     0  id
 *     2  QR:1 opcode:4 AA TC RD RA 0 AD CD rcode:4      (RFC 1035 4.1.1, RFC 2535 6.1)
 *     4  counts of questions, answers, authorities, additionals
 *     12 question: name, type, class
 *        record:   name, type, class, ttl:32, length, data
 *        OPT:      root, 41, UDP size, rcode high:8 version:8 DO:1 0:15, options   (RFC 6891 6.1.2)
 */
export const HEADER_BYTES = 12;

/** Numbers from the IANA registry "Domain Name System (DNS) Parameters". */
export const CLASS_IN = 1;
export const TYPE = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  SSHFP: 44,
  TLSA: 52,
  SVCB: 64,
  HTTPS: 65,
  CAA: 257,
} as const;
/** A type as `dig` writes it. */
export function typeText(type: number): string {
  return Object.entries(TYPE).find(([, number]) => number === type)?.[0] ?? `TYPE${type}`;
}
export const RCODE = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  BADVERS: 16,
} as const;

/** Bits of the second header word. */
export const FLAG = { QR: 0x8000, TC: 0x0200, RD: 0x0100, RA: 0x0080, CD: 0x0010 } as const;

export interface Question {
  name: Name;
  type: number;
  class: number;
}

export interface ResourceRecord {
  name: Name;
  type: number;
  class: number;
  /** Seconds. */
  ttl: number;
  /** Names inside are expanded: it can be read without the message. */
  data: Buffer;
}

/** What an OPT record says (RFC 6891). Options are neither kept nor passed on. */
export interface Edns {
  udpSize: number;
  version: number;
  dnssecOk: boolean;
  /** Only in what we send: why (RFC 8914). */
  extendedError?: ExtendedError | undefined;
}

export interface ExtendedError {
  /** INFO-CODE, RFC 8914 section 4. */
  code: number;
  /** Shown by `dig`; ASCII, at most 200 characters are sent. */
  text: string;
}

export interface Message {
  id: number;
  /** The header's second word without opcode and rcode. */
  flags: number;
  opcode: number;
  /** With the upper eight bits out of the OPT record, if there is one. */
  rcode: number;
  questions: Question[];
  answers: ResourceRecord[];
  authorities: ResourceRecord[];
  /** Without the OPT record. */
  additionals: ResourceRecord[];
  edns: Edns | undefined;
}

/** More records than this in one message are nothing a resolver sends. */
const MAX_RECORDS = 2048;

/** The header alone, for a message whose rest may be unreadable. */
export function decodeHeader(
  bytes: Buffer,
): Pick<Message, 'id' | 'flags' | 'opcode' | 'rcode'> | null {
  if (bytes.length < HEADER_BYTES) return null;
  const word = bytes.readUInt16BE(2);
  return {
    id: bytes.readUInt16BE(0),
    flags: word & 0x87f0,
    opcode: (word >> 11) & 0xf,
    rcode: word & 0xf,
  };
}

/**
 * Reads a whole message. Null when anything in it is malformed: a name or
 * record past the end, bytes left over, two OPT records, more than 2048 records.
 */
export function decodeMessage(bytes: Buffer): Message | null {
  const header = decodeHeader(bytes);
  if (header === null || bytes.length > 0xffff) return null;
  const [questionCount, ...recordCounts] = [4, 6, 8, 10].map((at) => bytes.readUInt16BE(at));
  const count = recordCounts.reduce((sum, n) => sum + n, questionCount ?? 0);
  if (questionCount === undefined || count > MAX_RECORDS) return null;

  let at = HEADER_BYTES;
  const questions: Question[] = [];
  for (let i = 0; i < questionCount; i++) {
    const name = readName(bytes, at);
    if (name === null || name.next + 4 > bytes.length) return null;
    questions.push({
      name: name.name,
      type: bytes.readUInt16BE(name.next),
      class: bytes.readUInt16BE(name.next + 2),
    });
    at = name.next + 4;
  }

  const sections: ResourceRecord[][] = [];
  for (const recordCount of recordCounts) {
    const records: ResourceRecord[] = [];
    for (let i = 0; i < recordCount; i++) {
      const read = readRecord(bytes, at);
      if (read === null) return null;
      records.push(read.record);
      at = read.next;
    }
    sections.push(records);
  }
  if (at !== bytes.length) return null;

  const [answers = [], authorities = [], all = []] = sections;
  if ([...answers, ...authorities].some((record) => record.type === TYPE.OPT)) return null;
  const additionals = all.filter((record) => record.type !== TYPE.OPT);
  const [opt, second] = all.filter((record) => record.type === TYPE.OPT);
  if (second !== undefined || (opt !== undefined && opt.name.length !== 1)) return null;
  const rcode = opt === undefined ? header.rcode : header.rcode | ((opt.ttl >>> 24) << 4);
  return {
    ...header,
    rcode,
    questions,
    answers,
    authorities,
    additionals,
    edns: opt && ednsOf(opt),
  };
}

function readRecord(
  bytes: Buffer,
  offset: number,
): { record: ResourceRecord; next: number } | null {
  const name = readName(bytes, offset);
  if (name === null || name.next + 10 > bytes.length) return null;
  const type = bytes.readUInt16BE(name.next);
  const start = name.next + 10;
  const end = start + bytes.readUInt16BE(name.next + 8);
  if (end > bytes.length) return null;
  const data = readRecordData(bytes, type, start, end);
  if (data === null) return null;
  return {
    record: {
      name: name.name,
      type,
      class: bytes.readUInt16BE(name.next + 2),
      ttl: bytes.readUInt32BE(name.next + 4),
      data,
    },
    next: end,
  };
}

function ednsOf(opt: ResourceRecord): Edns {
  return {
    udpSize: opt.class,
    version: (opt.ttl >>> 16) & 0xff,
    dnssecOk: (opt.ttl & 0x8000) !== 0,
  };
}
