import { Failure } from '../host/failure.ts';
import { DaemonGone } from './http.ts';

/**
 * Streams of the Connect protocol (https://connectrpc.com/docs/protocol). A
 * message is a byte of flags, its length in four bytes, big endian, and its
 * data. Flag 2 marks the last one, which is no message but JSON:
 * {"error"?, "metadata"?}.
 */
const END_OF_STREAM = 2;
const PREFIX = 5;
/** The agent, which may be hostile, sends no more either. */
const MAX_MESSAGE = 4 * 1024 * 1024;

/** One message, ready to be sent. */
export function envelope(data: Uint8Array): Uint8Array {
  const prefix = Buffer.alloc(PREFIX);
  prefix.writeUInt32BE(data.length, 1);
  return Buffer.concat([prefix, data]);
}

/**
 * The messages of a response stream.
 * @throws Failure the error in the last envelope; DaemonGone when it never comes
 */
export async function* messages(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  for await (const { flags, data } of envelopes(chunks)) {
    if ((flags & END_OF_STREAM) === 0) {
      yield data;
      continue;
    }
    const { error } = parse(data) as { error?: unknown };
    if (error !== undefined) throw await failureOf(error);
    return;
  }
  throw new DaemonGone();
}

/** JSON of the daemon's. */
export function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch (cause) {
    throw new Failure('unavailable', 'what answers is not a vmsan daemon', { cause });
  }
}

/** A Connect error in its JSON form as the Failure it was. */
export async function failureOf(error: unknown): Promise<Failure> {
  const { failureFromJson } = await import('./wire-error.ts');
  return failureFromJson(error);
}

async function* envelopes(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ flags: number; data: Buffer }> {
  let parts: Uint8Array[] = [];
  let have = 0;
  let need = PREFIX;
  for await (const chunk of chunks) {
    parts.push(chunk);
    have += chunk.length;
    if (have < need) continue;
    let rest = Buffer.concat(parts);
    for (need = lengthOf(rest); rest.length >= need; need = lengthOf(rest)) {
      yield { flags: rest.readUInt8(0), data: rest.subarray(PREFIX, need) };
      rest = rest.subarray(need);
    }
    parts = [rest];
    have = rest.length;
  }
}

/** How many bytes the envelope at the beginning of `buffer` has, as far as that is known. */
function lengthOf(buffer: Buffer): number {
  if (buffer.length < PREFIX) return PREFIX;
  const length = buffer.readUInt32BE(1);
  if (length <= MAX_MESSAGE) return PREFIX + length;
  throw new Failure('unavailable', `a message of ${length} bytes is more than vmsan reads`);
}
