import type { Socket } from 'node:net';
import { createClient, type Client, type Interceptor, type Transport } from '@connectrpc/connect';
import type { UniversalClientFn } from '@connectrpc/connect/protocol';
import { createTransport } from '@connectrpc/connect/protocol-connect';
import { AgentService } from '../gen/vmsan/v1/agent_pb.js';
import { VmsanService } from '../gen/vmsan/v1/vmsan_pb.js';
import { Failure, isErrno } from '../host/failure.ts';
import { buildId } from './build.ts';
import { toFailure } from './errors.ts';
import { clientHeaders, VM_HEADER } from './handshake.ts';
import { http1Client, http2Client } from './http.ts';
import type { Settings } from './settings.ts';
import { connectSocket, socketPath } from './socket.ts';

/** The client side of vmsand's socket. */
export interface Daemon {
  readonly vmsan: Client<typeof VmsanService>;
  /** The agent of one VM, named as the user names it. Only `exec` passes the daemon. */
  agent(vm: string): Client<typeof AgentService>;
}

/**
 * A client of the daemon with these settings; connects at the first call.
 * Calls throw what `toFailure` understands.
 * @param absent what to do when nobody listens: start the daemon, or fail with `not_found`
 */
export function daemonClient(settings: Settings, absent: 'start' | 'fail' = 'start'): Daemon {
  const dial = (): Promise<Socket> => connectDaemon(settings, absent);
  const headers = clientHeaders(settings);
  const vmsan = createClient(VmsanService, transport(http1Client(dial), headers));
  const agent = (vm: string): Client<typeof AgentService> => {
    // A header is ASCII; a name that is not is none of ours, and is told so by the daemon.
    const named = { ...headers, [VM_HEADER]: encodeURIComponent(vm) };
    return createClient(AgentService, transport(http2Client(dial), named));
  };
  return { vmsan, agent };
}

/**
 * Runs `work` with a client whose daemon is of this build: an older daemon
 * without running VMs is replaced, and `work` is run once more.
 * @throws Failure, also for every error of `work`
 */
export async function withDaemon<T>(
  settings: Settings,
  work: (daemon: Daemon) => Promise<T>,
): Promise<T> {
  const daemon = daemonClient(settings);
  try {
    return await work(daemon);
  } catch (error) {
    const failure = toFailure(error);
    if (failure.code !== 'conflict' || !(await replaced(settings))) throw failure;
  }
  try {
    return await work(daemon);
  } catch (error) {
    throw toFailure(error);
  }
}

/** @returns whether the daemon was of another build and is gone now */
async function replaced(settings: Settings): Promise<boolean> {
  const { vmsan } = daemonClient(settings, 'fail');
  try {
    const { build, runningVms } = await vmsan.getDaemon({}, { timeoutMs: 5_000 });
    if (build === buildId() || runningVms > 0) return false;
  } catch {
    return false;
  }
  const { stopDaemon } = await import('./stop.ts');
  await stopDaemon(settings, { purge: false });
  return true;
}

async function connectDaemon(settings: Settings, absent: 'start' | 'fail'): Promise<Socket> {
  const path = socketPath(settings);
  try {
    return await connectSocket(path);
  } catch (error) {
    if (isErrno(error, 'EACCES', 'EPERM')) {
      throw new Failure('unavailable', `you may not talk to the daemon: ${path} is closed to you`, {
        hint: 'use sudo, or join the group that owns the socket',
      });
    }
    if (!isErrno(error, 'ENOENT', 'ECONNREFUSED', 'ENOTDIR')) {
      throw new Failure('unavailable', `no connection to ${path}`, { cause: error });
    }
    if (absent === 'fail') {
      throw new Failure('not_found', `no daemon answers at ${path}`, {
        hint: 'vmsan daemon start',
      });
    }
  }
  const { launchDaemon } = await import('./launch.ts');
  await launchDaemon(settings);
  return connectSocket(path);
}

function transport(httpClient: UniversalClientFn, headers: Record<string, string>): Transport {
  const introduce: Interceptor = (next) => (request) => {
    for (const [name, value] of Object.entries(headers)) request.header.set(name, value);
    return next(request);
  };
  return createTransport({
    httpClient,
    baseUrl: 'http://vmsan',
    useBinaryFormat: true,
    interceptors: [introduce],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: 1024,
    readMaxBytes: MAX_MESSAGE,
    writeMaxBytes: MAX_MESSAGE,
  });
}

/** Bytes; the agent's limit too. */
const MAX_MESSAGE = 4 * 1024 * 1024;
