import { createServer } from 'node:http';
import { Code, ConnectError, type ConnectRouter } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { GateService } from '../gen/vmsan/v1/gate_pb.js';
import { Failure } from '../host/failure.ts';
import { parseSnapshot, type Snapshot } from './snapshot.ts';

export interface ControlOptions {
  /** Reported to vmsand, which compares it with its own. */
  build: string;
  /** Takes over a snapshot that has been found right. */
  apply: (snapshot: Snapshot) => void;
}

/** A few hundred bytes a VM, some thousand VMs. */
const MAX_REQUEST_BYTES = 16 << 20;

/**
 * Serves GateService (Connect over HTTP/1.1) on a listening unix socket that
 * vmsand made; who may connect is up to the socket's mode.
 * @param fd the inherited descriptor, owned from here on
 */
export async function serveControl(
  fd: number,
  { build, apply }: ControlOptions,
): Promise<{ close(): void }> {
  const routes = (router: ConnectRouter) =>
    router.service(GateService, {
      setSnapshot: (request) => {
        apply(parsed(() => parseSnapshot(request)));
        return {};
      },
      getGate: () => ({ pid: process.pid, build }),
    });
  const server = createServer(connectNodeAdapter({ routes, readMaxBytes: MAX_REQUEST_BYTES }));
  await new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen({ fd }, done);
  });
  return {
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (error instanceof Failure && error.code === 'bad_input') {
      throw new ConnectError(error.message, Code.InvalidArgument);
    }
    throw error;
  }
}
