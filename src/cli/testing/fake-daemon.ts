import { createServer as createHttp1Server } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { createServer } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConnectRouter, Interceptor, ServiceImpl } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { toConnectError } from '../../api/errors.ts';
import { AgentService } from '../../gen/vmsan/v1/agent_pb.js';
import { VmsanService } from '../../gen/vmsan/v1/vmsan_pb.js';
import { fakeExec } from './fake-guest.ts';

/** A daemon of canned answers on a real unix socket, HTTP/1.1 and h2c as vmsand's. */
export interface FakeDaemon extends AsyncDisposable {
  readonly runDir: string;
  /** `Service/Method` and headers of every call. */
  readonly calls: { method: string; headers: Headers; message: unknown }[];
}

export async function fakeDaemon(
  vmsan: Partial<ServiceImpl<typeof VmsanService>>,
): Promise<FakeDaemon> {
  const runDir = mkdtempSync(join(tmpdir(), 'vmsan-cli-'));
  const calls: FakeDaemon['calls'] = [];
  const record: Interceptor = (next) => async (request) => {
    const message = request.stream ? undefined : request.message;
    calls.push({ method: request.method.name, headers: request.header, message });
    try {
      const response = await next(request);
      return response.stream ? { ...response, message: explained(response.message) } : response;
    } catch (error) {
      throw toConnectError(error);
    }
  };
  const adapter = connectNodeAdapter({
    interceptors: [record],
    routes: (router: ConnectRouter) => {
      router.service(VmsanService, vmsan);
      router.service(AgentService, { exec: fakeExec });
    },
  });
  const http1 = createHttp1Server(adapter);
  const http2 = createHttp2Server(adapter);
  const sockets = new Set<{ destroy(): void }>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('readable', () => {
      const first = socket.read() as Buffer | null;
      if (first === null) return;
      socket.unshift(first);
      (first.toString('latin1').startsWith('PRI ') ? http2 : http1).emit('connection', socket);
    });
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject).listen(join(runDir, 'vmsan.sock'), resolve);
  await promise;
  return {
    runDir,
    calls,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
      rmSync(runDir, { recursive: true, force: true });
    },
  };
}

async function* explained<T>(messages: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw toConnectError(error);
  }
}
