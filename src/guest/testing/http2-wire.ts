import type { Socket } from 'node:net';

/** HTTP/2 frame types and flags (RFC 9113, section 6; RFC 7838 for the last). */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
  altsvc: 10,
} as const;
export const ACK = 1;
export const END_STREAM = 1;
export const END_HEADERS = 4;

const PREFACE_BYTES = 24;

/** One frame: length (3 bytes), type, flags, stream (4), payload (RFC 9113, section 4.1). */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Buffer = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A header as HPACK's literal without indexing, its name new (RFC 7541, section 6.2.2). */
export function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0), text(name), text(value)]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  return Buffer.concat([integer(bytes.length), bytes]);
}

/** An integer with a prefix of 7 bits (RFC 7541, section 5.1). */
function integer(value: number): Buffer {
  if (value < 127) return Buffer.of(value);
  const bytes = [127];
  let rest = value - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}

/** The head of an answer, with a good type unless told otherwise. */
export function answerHead(stream: number, status = '200', ...more: Buffer[]): Buffer {
  const headers = [literal(':status', status), literal('content-type', 'application/proto')];
  return frame(FRAME.headers, END_HEADERS, stream, Buffer.concat([...headers, ...more]));
}

/** What a hostile agent has in its hands: the host's connection, after the handshake. */
export class Wire {
  readonly socket: Socket;
  readonly #streams: number[] = [];
  #unread = Buffer.alloc(0);
  #preface = PREFACE_BYTES;
  #wake = () => {};

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    for (const event of ['close', 'drain']) socket.on(event, () => this.#wake());
  }

  /** Sends, and waits until the host has taken most of it. @returns false once the host has hung up */
  async send(...frames: Buffer[]): Promise<boolean> {
    if (!this.#open) return false;
    if (this.socket.write(Buffer.concat(frames))) return true;
    while (this.socket.writableNeedDrain && this.#open) await this.#change();
    return this.#open;
  }

  /** Sends the same again and again, until the host hangs up. */
  async sendForEver(...frames: Buffer[]): Promise<void> {
    const bytes = Buffer.concat(frames);
    while (await this.send(bytes));
  }

  /** The id of the next stream that the host opens; 0 when it hangs up. */
  async request(): Promise<number> {
    while (this.#streams.length === 0 && this.#open) await this.#change();
    return this.#streams.shift() ?? 0;
  }

  /** Reads no more. */
  deaf(): void {
    this.socket.pause();
  }

  get #open(): boolean {
    return this.socket.writable;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }

  #read(chunk: Buffer): void {
    const skipped = Math.min(this.#preface, chunk.length);
    this.#preface -= skipped;
    this.#unread = Buffer.concat([this.#unread, chunk.subarray(skipped)]);
    while (this.#unread.length >= 9) {
      const end = 9 + this.#unread.readUIntBE(0, 3);
      if (this.#unread.length < end) return;
      if (this.#unread.readUInt8(3) === FRAME.headers) {
        this.#streams.push(this.#unread.readUInt32BE(5));
        this.#wake();
      }
      this.#unread = this.#unread.subarray(end);
    }
  }
}
