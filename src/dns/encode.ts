import { FLAG, TYPE, type Edns, type Message, type ResourceRecord } from './message.ts';
import type { Name } from './name.ts';
import { splitRecordData } from './record-data.ts';

/** RFC 8914 section 2. */
const OPTION_EXTENDED_ERROR = 15;
const MAX_EXTENDED_ERROR_TEXT = 200;

/**
 * The bytes of a message, names compressed. One that does not fit in `limit`
 * bytes loses all its records but OPT and says so with TC: whoever asked comes
 * back over TCP (RFC 2181 section 9 would let us send some; no client uses them).
 * @param limit at least 512, which every message without records fits in
 */
export function encodeMessage(message: Message, limit: number): Buffer {
  const whole = write(message, limit);
  if (whole !== null) return whole;
  const empty = { answers: [], authorities: [], additionals: [] };
  const cut = write({ ...message, ...empty, flags: message.flags | FLAG.TC }, limit);
  if (cut === null) throw new RangeError(`no room for a question in ${limit} bytes`);
  return cut;
}

function write(message: Message, limit: number): Buffer | null {
  const writer = new Writer(limit);
  const { questions, answers, authorities, additionals, edns } = message;
  writer.u16(message.id);
  writer.u16(message.flags | (message.opcode << 11) | (message.rcode & 0xf));
  writer.u16(questions.length);
  writer.u16(answers.length);
  writer.u16(authorities.length);
  writer.u16(additionals.length + (edns === undefined ? 0 : 1));
  for (const question of questions) {
    writer.name(question.name);
    writer.u16(question.type);
    writer.u16(question.class);
  }
  for (const record of [...answers, ...authorities, ...additionals]) writer.record(record);
  if (edns !== undefined) writer.record(optRecord(edns, message.rcode));
  return writer.finish();
}

function optRecord(edns: Edns, rcode: number): ResourceRecord {
  const high = ((rcode >>> 4) << 24) >>> 0;
  return {
    name: Buffer.from([0]),
    type: TYPE.OPT,
    class: edns.udpSize,
    ttl: (high | (edns.version << 16) | (edns.dnssecOk ? 0x8000 : 0)) >>> 0,
    data:
      edns.extendedError === undefined ? Buffer.alloc(0) : extendedErrorOption(edns.extendedError),
  };
}

function extendedErrorOption({ code, text }: { code: number; text: string }): Buffer {
  const words = Buffer.from(text.slice(0, MAX_EXTENDED_ERROR_TEXT), 'latin1');
  const option = Buffer.alloc(6);
  option.writeUInt16BE(OPTION_EXTENDED_ERROR, 0);
  option.writeUInt16BE(2 + words.length, 2);
  option.writeUInt16BE(code, 4);
  return Buffer.concat([option, words]);
}

/** Writes into `limit` bytes; once something does not fit, `finish` gives null. */
class Writer {
  private readonly buffer: Buffer;
  private length = 0;
  private overflow = false;
  /** Where each name, and each tail of one, was written; its bytes as latin1 are the key. */
  private readonly names = new Map<string, number>();

  constructor(limit: number) {
    this.buffer = Buffer.allocUnsafe(limit);
  }

  finish(): Buffer | null {
    return this.overflow ? null : this.buffer.subarray(0, this.length);
  }

  u16(value: number): void {
    const at = this.reserve(2);
    if (at !== null) this.buffer.writeUInt16BE(value, at);
  }

  private u32(value: number): void {
    const at = this.reserve(4);
    if (at !== null) this.buffer.writeUInt32BE(value, at);
  }

  private bytes(bytes: Buffer): void {
    const at = this.reserve(bytes.length);
    if (at !== null) bytes.copy(this.buffer, at);
  }

  /** Compressed by exact bytes, so that letters keep their case. */
  name(name: Name): void {
    for (let at = 0; at < name.length - 1; at += 1 + (name[at] ?? 0)) {
      const tail = name.toString('latin1', at);
      const seen = this.names.get(tail);
      if (seen !== undefined) return this.u16(0xc000 | seen);
      // A pointer has 14 bits.
      if (this.length < 0x4000) this.names.set(tail, this.length);
      this.bytes(name.subarray(at, at + 1 + (name[at] ?? 0)));
      if (this.overflow) return;
    }
    this.bytes(ROOT);
  }

  record(record: ResourceRecord): void {
    if (this.overflow) return;
    this.name(record.name);
    this.u16(record.type);
    this.u16(record.class);
    this.u32(record.ttl);
    const lengthAt = this.reserve(2);
    const start = this.length;
    for (const part of partsOf(record)) {
      if (part.kind === 'name') this.name(part.bytes);
      else this.bytes(part.bytes);
    }
    if (lengthAt !== null && !this.overflow) {
      this.buffer.writeUInt16BE(this.length - start, lengthAt);
    }
  }

  private reserve(count: number): number | null {
    if (this.overflow || this.length + count > this.buffer.length) {
      this.overflow = true;
      return null;
    }
    const at = this.length;
    this.length += count;
    return at;
  }
}

const ROOT = Buffer.from([0]);

function partsOf({ type, data }: ResourceRecord) {
  return splitRecordData(data, type, 0, data.length) ?? [{ kind: 'bytes' as const, bytes: data }];
}
