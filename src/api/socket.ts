import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Settings } from './settings.ts';

/** Where vmsand listens. */
export function socketPath(settings: Settings): string {
  return join(settings.runDir, 'vmsan.sock');
}

/** Connects, or rejects with the errno of why not. */
export function connectSocket(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path });
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.off('error', reject);
      resolve(socket);
    });
  });
}
