import type { Connection } from './client.ts';
import { envelope, failureOf, messages, parse } from './envelope.ts';
import {
  decodeExecResponse,
  encodeExecRequest,
  type ExecRequestMessage,
  type ExecResponseMessage,
} from './exec-wire.ts';
import { VM_HEADER } from './handshake.ts';
import { exchange } from './http.ts';

/** A call of AgentService.Exec, through vmsand. */
export interface ExecCall {
  /** Resolves when the next may be sent. */
  send(message: ExecRequestMessage): Promise<void>;
  /** No more requests. Before the process has ended this kills it. */
  end(): void;
  /** @throws Failure */
  responses(): AsyncGenerator<ExecResponseMessage>;
}

/** @param vm as the user names it */
export async function execCall({ dial, headers }: Connection, vm: string): Promise<ExecCall> {
  const { write, end, response } = await exchange(dial, '/vmsan.v1.AgentService/Exec', {
    ...headers,
    'connect-protocol-version': '1',
    'content-type': 'application/connect+proto',
    // Headers are ASCII; what a user types need not be.
    [VM_HEADER]: encodeURIComponent(vm),
  });
  return {
    send: (message) => write(envelope(encodeExecRequest(message))),
    end,
    async *responses() {
      const { status, body } = await response();
      if (status !== 200) {
        throw await failureOf(parse(await whole(body)));
      }
      for await (const message of messages(body)) yield decodeExecResponse(message);
    },
  };
}

/** An error is the daemon's, or a guest's that may be hostile and never end. */
const MAX_ERROR_BYTES = 64 * 1024;

async function whole(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_ERROR_BYTES) break;
  }
  return Buffer.concat(chunks);
}
