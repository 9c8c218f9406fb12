import { createServer } from 'node:http';
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import {
  GateService,
  type JudgeConnectionsRequest,
  type SetSnapshotRequest,
} from '../gen/vmsan/v1/gate_pb.js';
import { Failure } from '../host/failure.ts';
import type { Connection } from '../proxy/server.ts';
import type { DecisionBatch } from './decisions.ts';
import type { Batch } from './leases.ts';

export interface ControlOptions {
  /** Reported to vmsand, which compares it with its own. */
  build: string;
  /**
   * Takes over a snapshot.
   * @returns how many proxied connections it ended
   * @throws Failure `bad_input`, with nothing changed
   */
  apply: (snapshot: SetSnapshotRequest) => number;
  watchLeases: (signal: AbortSignal) => AsyncIterable<Batch>;
  acknowledgeLeases: (id: bigint, refused: readonly number[]) => void;
  renew: (vmId: string, names: readonly string[]) => Promise<void>;
  watchDecisions: (signal: AbortSignal) => AsyncIterable<DecisionBatch>;
  connections: (vmId: string) => Connection[];
  /**
   * How many connections a policy would end.
   * @throws Failure `bad_input`
   */
  wouldEnd: (request: JudgeConnectionsRequest) => number;
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
  { build, apply, watchLeases, acknowledgeLeases, renew, ...rest }: ControlOptions,
): Promise<{ close(): void }> {
  const routes = (router: ConnectRouter) =>
    router.service(GateService, {
      setSnapshot: (request) => ({ connectionsClosed: parsed(() => apply(request)) }),
      getGate: () => ({ pid: process.pid, build }),
      watchLeases: (_request, { signal }: HandlerContext) => watchLeases(signal),
      ackLeases: ({ id, refused }) => {
        acknowledgeLeases(id, refused);
        return {};
      },
      renew: async ({ vmId, names }) => {
        await renew(vmId, names);
        return {};
      },
      watchDecisions: (_request, { signal }: HandlerContext) => rest.watchDecisions(signal),
      listConnections: ({ vmId }) => ({ connections: rest.connections(vmId) }),
      judgeConnections: (request) => ({ ended: parsed(() => rest.wouldEnd(request)) }),
    });
  const server = createServer(
    connectNodeAdapter({ routes, readMaxBytes: MAX_REQUEST_BYTES, acceptCompression: [] }),
  );
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
