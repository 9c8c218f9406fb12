import type { Socket } from 'node:net';
import type { Session } from './session.ts';
import type { Upstream } from './upstream.ts';

/**
 * Writes what the upstream said to the guest. @returns whether it is all gone:
 * if not, its buffer must not be read into, and is not until it is.
 */
export function toClient(session: Session, upstream: Upstream, bytes: Buffer): boolean {
  const { client } = session;
  // It is being told why not, or is gone.
  if (client.writableEnded || client.destroyed) return true;
  client.write(bytes, () => {
    session.touch();
    if (client.writableLength === 0) upstream.resume();
  });
  return client.writableLength === 0;
}

/** Writes to the server, and reads no more from the guest while it does not keep up. */
export function toServer(client: Socket, upstream: Upstream, bytes: Buffer): void {
  if (upstream.socket.write(bytes)) return;
  client.pause();
  upstream.socket.once('drain', () => client.resume());
}
