import { setTimeout } from 'node:timers/promises';
import type { RequestOf, ResponseOf, StreamMethod } from '../api/calls.ts';
import { withDaemon, type Daemon } from '../api/client.ts';
import { DaemonGone } from '../api/http.ts';
import type { Settings } from '../api/settings.ts';
import { connectSocket, socketPath } from '../api/socket.ts';
import { isErrno } from '../host/failure.ts';
import { remark } from './print/text.ts';

const LOOK_EVERY_MS = 200;

/**
 * Follows a stream that has no end of its own across daemons: when one goes
 * away a line says so, and the next one's answer follows. It starts none: who
 * ended the daemon may have meant it.
 */
export async function follow<M extends StreamMethod>(
  settings: Settings,
  method: M,
  request: RequestOf<M>,
  each: (message: ResponseOf<M>) => void,
): Promise<void> {
  const once = async (daemon: Daemon): Promise<void> => {
    for await (const message of daemon.stream(method, request)) each(message);
  };
  for (;;) {
    try {
      await withDaemon(settings, once);
      return;
    } catch (error) {
      if (!(error instanceof DaemonGone)) throw error;
    }
    remark('vmsan: the daemon went away; what follows is of the next one');
    await nextDaemon(socketPath(settings));
  }
}

async function nextDaemon(path: string): Promise<void> {
  for (;;) {
    try {
      (await connectSocket(path)).destroy();
      return;
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ECONNREFUSED', 'ENOTDIR')) throw error;
    }
    await setTimeout(LOOK_EVERY_MS);
  }
}
