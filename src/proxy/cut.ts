import type { Socket } from 'node:net';

/**
 * Ends a connection at once. After an `end()` it is closed, not reset: libuv
 * refuses to reset what is shutting down, and Node 24 then keeps its
 * descriptor for ever.
 */
export function cut(socket: Socket | undefined): void {
  if (socket === undefined || socket.destroyed) return;
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
