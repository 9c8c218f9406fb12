import { chmodSync, rmSync } from 'node:fs';
import {
  createServer as createHttp1Server,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import {
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2';
import { createServer, type Server, type Socket } from 'node:net';
import type { ConnectRouter, Interceptor } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { toConnectError } from '../api/errors.ts';
import { judgeCaller, type Identity } from '../api/handshake.ts';
import type { GuestAgent } from '../guest/agent.ts';
import { AgentService } from '../gen/vmsan/v1/agent_pb.js';
import { VmsanService } from '../gen/vmsan/v1/vmsan_pb.js';
import type { Context } from './context.ts';
import { checkRoomForExec, EXEC_PATH, execTarget, forwardExec } from './exec-forward.ts';
import { vmsanService, type DaemonProcess } from './service.ts';

/** What every HTTP/2 connection begins with (RFC 9113 section 3.4). */
const HTTP2_PREFACE = Buffer.from('PRI * HTTP/2.0');

/** Calls by which a newer CLI replaces an older daemon. */
const FOR_ANY_BUILD = new Set(['GetDaemon', 'StopDaemon']);

/**
 * Serves the API on a unix socket: HTTP/1.1, which curl and short calls speak,
 * and HTTP/2 without TLS for streams, told apart by their first bytes.
 */
export function serve(
  context: Context,
  daemon: DaemonProcess,
  identity: Identity,
  path: string,
): Promise<Server> {
  const adapter = connectNodeAdapter({
    routes: (router) => addServices(router, context, daemon),
    interceptors: [explaining, judging(identity)],
  });
  const answer = (
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
  ) => {
    response.on('close', () => daemon.answered());
    adapter(request, response);
  };
  const http1 = createHttp1Server(answer);
  const http2 = createHttp2Server();
  http2.on('request', (request, response) => {
    if (request.url !== EXEC_PATH) {
      answer(request, response);
      return;
    }
    void acceptExec(context, identity, request.headers).then((agent) => {
      if (request.stream.destroyed) return;
      try {
        if (agent !== null) return forwardExec(agent, request.stream, request.headers);
      } catch {
        // Its connection ended meanwhile.
      }
      answer(request, response);
    });
  });
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.once('readable', () => {
      const first: Buffer | null = socket.read() as Buffer | null;
      if (first === null) return;
      socket.unshift(first);
      const isHttp2 = HTTP2_PREFACE.subarray(0, first.length).equals(
        first.subarray(0, HTTP2_PREFACE.length),
      );
      (isHttp2 ? http2 : http1).emit('connection', socket satisfies Socket);
    });
  });
  rmSync(path, { force: true });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      chmodSync(path, 0o660);
      resolve(server);
    });
  });
}

function addServices(router: ConnectRouter, context: Context, daemon: DaemonProcess): void {
  router.service(VmsanService, vmsanService(context, daemon));
  // Reached only by an Exec that was not forwarded: it says why.
  router.service(AgentService, {
    // eslint-disable-next-line require-yield -- a stream that is an error alone
    async *exec(_, { requestHeader }) {
      checkRoomForExec();
      await execTarget(context, requestHeader);
      throw new Error('an Exec stream needs HTTP/2');
    },
  });
}

/** The agent to forward an Exec to, or null for a call that must be told why not. */
async function acceptExec(
  context: Context,
  identity: Identity,
  received: NodeJS.Dict<string | string[]>,
): Promise<GuestAgent | null> {
  const headers = new Headers();
  for (const [name, value] of Object.entries(received)) {
    if (!name.startsWith(':') && typeof value === 'string') headers.set(name, value);
  }
  if (judgeCaller(identity, headers) !== 'ok') return null;
  try {
    checkRoomForExec();
    return await execTarget(context, headers);
  } catch {
    return null;
  }
}

/** Refuses callers of another network namespace, other settings or another build. */
function judging(identity: Identity): Interceptor {
  return (next) => (request) => {
    const anyBuild = FOR_ANY_BUILD.has(request.method.name);
    const verdict = judgeCaller(identity, request.header, { anyBuild });
    if (verdict !== 'ok') throw verdict;
    return next(request);
  };
}

/** Gives every error its code and hint, also those of streams. */
const explaining: Interceptor = (next) => async (request) => {
  try {
    const response = await next(request);
    return response.stream ? { ...response, message: explained(response.message) } : response;
  } catch (error) {
    throw toConnectError(error);
  }
};

async function* explained<T>(messages: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* messages;
  } catch (error) {
    throw toConnectError(error);
  }
}
