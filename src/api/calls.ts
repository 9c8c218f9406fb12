import type { MessageJsonType } from '@bufbuild/protobuf';
import type { VmsanService } from '../gen/vmsan/v1/vmsan_pb.js';
import { Failure } from '../host/failure.ts';
import { post, read, type Dial } from './http.ts';

/**
 * VmsanService as a client of the Connect protocol's JSON form
 * (https://connectrpc.com/docs/protocol), typed by the contract. The library
 * and the protobuf runtime it needs would cost every command 25 ms more than
 * these lines do; they are loaded only to read an error.
 */
type Methods = (typeof VmsanService)['method'];
export type UnaryMethod = Exclude<keyof Methods, 'createVm'>;
export type StreamMethod = 'createVm';
export type RequestOf<M extends keyof Methods> = MessageJsonType<Methods[M]['input']>;
export type ResponseOf<M extends keyof Methods> = MessageJsonType<Methods[M]['output']>;

export interface Calls {
  /**
   * Calls a method that answers once. Fields with their default value may be absent.
   * @param timeoutMs after which the daemon gives up, and we a little later
   * @throws Failure
   */
  call<M extends UnaryMethod>(
    method: M,
    request: RequestOf<M>,
    timeoutMs: number,
  ): Promise<ResponseOf<M>>;
  /** Calls a method that answers a stream. */
  stream<M extends StreamMethod>(method: M, request: RequestOf<M>): AsyncIterable<ResponseOf<M>>;
}

/** @param headers sent with every call */
export function callsOver(dial: Dial, headers: Record<string, string>): Calls {
  return {
    async call(method, request, timeoutMs) {
      const response = await post(
        dial,
        pathOf(method),
        {
          ...headers,
          ...PROTOCOL,
          'content-type': 'application/json',
          'connect-timeout-ms': String(timeoutMs),
        },
        Buffer.from(JSON.stringify(request)),
        deadline(timeoutMs + GRACE_MS),
      );
      const chunks: Uint8Array[] = [];
      for await (const chunk of read(response)) chunks.push(chunk);
      const body = parse(Buffer.concat(chunks));
      if (response.statusCode === 200) return body as ResponseOf<typeof method>;
      throw await failureOf(body);
    },

    async *stream(method, request) {
      const response = await post(
        dial,
        pathOf(method),
        { ...headers, ...PROTOCOL, 'content-type': 'application/connect+json' },
        envelope(Buffer.from(JSON.stringify(request))),
      );
      for await (const { flags, data } of envelopes(read(response))) {
        const message = parse(data);
        if ((flags & END_OF_STREAM) === 0) {
          yield message as ResponseOf<typeof method>;
          continue;
        }
        const { error } = message as { error?: unknown };
        if (error !== undefined) throw await failureOf(error);
        return;
      }
      throw new Failure('unavailable', 'the daemon broke off its answer');
    },
  };
}

const PROTOCOL = { 'connect-protocol-version': '1' };
/** How much longer than the daemon we wait, so that its own word on a deadline arrives. */
const GRACE_MS = 2_000;

function pathOf(method: string): string {
  return `/vmsan.v1.VmsanService/${method.charAt(0).toUpperCase()}${method.slice(1)}`;
}

function deadline(ms: number): AbortSignal {
  const controller = new AbortController();
  const failure = new Failure('timeout', `the daemon did not answer within ${ms / 1000} s`, {
    hint: 'vmsan daemon status',
  });
  setTimeout(() => controller.abort(failure), ms).unref();
  return controller.signal;
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch (cause) {
    throw new Failure('unavailable', 'what answers is not a vmsan daemon', { cause });
  }
}

async function failureOf(error: unknown): Promise<Failure> {
  const { failureFromJson } = await import('./wire-error.ts');
  return failureFromJson(error);
}

/*
 * A message of a stream: one byte of flags, its length as four bytes, big
 * endian, then the message. Flag 2 marks the last one, which is not a message
 * but {"error"?, "metadata"?}.
 */
const END_OF_STREAM = 2;
const PREFIX = 5;

function envelope(data: Buffer): Buffer {
  const prefix = Buffer.alloc(PREFIX);
  prefix.writeUInt32BE(data.length, 1);
  return Buffer.concat([prefix, data]);
}

async function* envelopes(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ flags: number; data: Buffer }> {
  let rest = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= PREFIX && rest.length >= PREFIX + rest.readUInt32BE(1)) {
      const end = PREFIX + rest.readUInt32BE(1);
      yield { flags: rest.readUInt8(0), data: rest.subarray(PREFIX, end) };
      rest = rest.subarray(end);
    }
  }
}
