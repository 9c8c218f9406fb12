import type { Socket } from 'node:net';
import { Failure, isErrno } from '../host/failure.ts';
import { buildId } from './build.ts';
import { callsOver, type Calls } from './calls.ts';
import { asFailure } from './failures.ts';
import { clientHeaders } from './handshake.ts';
import type { Dial } from './http.ts';
import type { Settings } from './settings.ts';
import { connectSocket, socketPath } from './socket.ts';

/** How to reach the daemon, and what to say on every call. */
export interface Connection {
  readonly dial: Dial;
  readonly headers: Record<string, string>;
}

/** The client side of vmsand's socket. */
export type Daemon = Connection & Calls;

/**
 * A client of the daemon with these settings; connects at each call.
 * @param absent what to do when nobody listens: start the daemon, or fail with `not_found`
 */
export function daemonClient(settings: Settings, absent: 'start' | 'fail' = 'start'): Daemon {
  const dial = (): Promise<Socket> => connectDaemon(settings, absent);
  const headers = clientHeaders(settings);
  return { dial, headers, ...callsOver(dial, headers) };
}

/**
 * Runs `work` with a client whose daemon is of this build: an older daemon
 * without running VMs is replaced, and `work` is run once more.
 * @throws Failure what `work` throws
 */
export async function withDaemon<T>(
  settings: Settings,
  work: (daemon: Daemon) => Promise<T>,
): Promise<T> {
  const daemon = daemonClient(settings);
  try {
    return await work(daemon);
  } catch (error) {
    const failure = asFailure(error);
    if (failure.code !== 'conflict' || !(await replaced(settings))) throw failure;
  }
  return work(daemon);
}

/** @returns whether the daemon was of another build and is gone now */
async function replaced(settings: Settings): Promise<boolean> {
  try {
    const { build, runningVms = 0 } = await daemonClient(settings, 'fail').call(
      'getDaemon',
      {},
      5_000,
    );
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
