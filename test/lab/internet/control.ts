import { once } from 'node:events';
import { createConnection, createServer } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Journal } from './journal.ts';

/** Serves a unix socket: whoever connects is told "settled" once the journal is complete. */
export async function serveControl(path: string, journal: Journal): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    void journal.settled().then(() => socket.end('settled\n'));
  });
  server.listen(path);
  await once(server, 'listening');
}

/**
 * Resolves when all that had reached the servers before this call is in their journal.
 * @throws Error when they are not there
 */
export async function settled(path: string): Promise<void> {
  const answer = await text(createConnection(path));
  if (answer !== 'settled\n') throw new Error(`the server behind ${path} has ended`);
}
