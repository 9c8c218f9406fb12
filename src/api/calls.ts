import type { MessageJsonType } from '@bufbuild/protobuf';
import type { VmsanService } from '../gen/vmsan/v1/vmsan_pb.js';
import { Failure } from '../host/failure.ts';
import { envelope, failureOf, messages, parse } from './envelope.ts';
import { post, read, type Dial } from './http.ts';

/**
 * VmsanService as a client of the Connect protocol's JSON form
 * (https://connectrpc.com/docs/protocol), typed by the contract. The library
 * and the protobuf runtime it needs would cost every command 25 ms more than
 * these lines do: they are loaded only to read an error. `agent.ts` does the same
 * for the one call of the agent's.
 */
type Methods = (typeof VmsanService)['method'];
export type StreamMethod = 'createVm' | 'startVm' | 'getLogs' | 'watchEvents' | 'watchTraffic';
export type UnaryMethod = Exclude<keyof Methods, StreamMethod>;
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
      const sent = {
        ...headers,
        ...PROTOCOL,
        'content-type': 'application/json',
        'connect-timeout-ms': String(timeoutMs),
      };
      const message = Buffer.from(JSON.stringify(request));
      const signal = deadline(timeoutMs + GRACE_MS);
      const response = await post(dial, pathOf(method), sent, message, signal);
      const chunks: Uint8Array[] = [];
      for await (const chunk of read(response, signal)) chunks.push(chunk);
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
      if (response.statusCode !== 200) throw await failureOf(undefined);
      for await (const message of messages(read(response))) {
        yield parse(message) as ResponseOf<typeof method>;
      }
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
