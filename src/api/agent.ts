import './light-headers.ts';
import { createClient, type Client, type Interceptor } from '@connectrpc/connect';
import { createTransport } from '@connectrpc/connect/protocol-connect';
import { AgentService } from '../gen/vmsan/v1/agent_pb.js';
import type { Connection } from './client.ts';
import { VM_HEADER } from './handshake.ts';
import { http2Client } from './http.ts';

/** Bytes; the agent's limit too. */
const MAX_MESSAGE = 4 * 1024 * 1024;

/**
 * The agent of one VM, through vmsand; of its calls only `exec` passes there.
 * @param vm as the user names it
 */
export function agentClient(
  { dial, headers }: Connection,
  vm: string,
): Client<typeof AgentService> {
  const introduce: Interceptor = (next) => (request) => {
    for (const [name, value] of Object.entries(headers)) request.header.set(name, value);
    // Headers are ASCII; what a user types need not be.
    request.header.set(VM_HEADER, encodeURIComponent(vm));
    return next(request);
  };
  const transport = createTransport({
    httpClient: http2Client(dial),
    baseUrl: 'http://vmsan',
    useBinaryFormat: true,
    interceptors: [introduce],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: 1024,
    readMaxBytes: MAX_MESSAGE,
    writeMaxBytes: MAX_MESSAGE,
  });
  return createClient(AgentService, transport);
}
