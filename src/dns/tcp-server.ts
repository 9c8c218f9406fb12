import { createServer, type Socket } from 'node:net';
import { FrameReader, frame } from './frames.ts';
import { MAX_QUERY_BYTES } from './query.ts';
import type { Guest, Report, Resolve } from './resolver.ts';
import { textOf, type Server } from './udp-server.ts';

export interface TcpServerOptions {
  resolve: Resolve;
  /** The guest that `source` is as of now. Others are closed unheard. */
  guestOf: (source: string) => Guest | undefined;
  report: Report;
  limits?: Partial<TcpLimits>;
}

export interface TcpServer extends Server {
  /** Closes the connections whose address is no longer the VM that opened them. */
  closeStrangers(): void;
}

export interface TcpLimits {
  /** Connections at once. */
  perGuest: number;
  total: number;
  /** Queries of one connection that wait; the rest stays unread. */
  waiting: number;
  /** Milliseconds without a whole query or a whole answer until a connection is closed (RFC 7766 6.2.3). */
  idleMs: number;
}

/** So many of each guest are let in even when others have taken all. */
const RESERVED = 2;
const LIMITS: TcpLimits = { perGuest: 16, total: 1024, waiting: 8, idleMs: 10_000 };

/**
 * Serves a listening TCP socket that another process made.
 * @param fd the inherited descriptor, owned from here on
 * @throws when it is no TCP socket
 */
export async function serveTcp(fd: number, options: TcpServerOptions): Promise<TcpServer> {
  const { guestOf, report } = options;
  const limits = { ...LIMITS, ...options.limits };
  const connections = new Map<string, number>();
  const open = new Map<Socket, { source: string; vmId: string }>();

  // Half open: who has sent its query and shut down still gets its answer.
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    const source = socket.remoteAddress;
    const guest = guestOf(source ?? '');
    const mine = connections.get(source ?? '') ?? 0;
    const full = mine >= limits.perGuest || (open.size >= limits.total && mine >= RESERVED);
    if (source === undefined || guest === undefined || full) {
      socket.resetAndDestroy();
      return;
    }
    connections.set(source, mine + 1);
    open.set(socket, { source, vmId: guest.vmId });
    socket.on('close', () => {
      open.delete(socket);
      const left = (connections.get(source) ?? 1) - 1;
      if (left === 0) connections.delete(source);
      else connections.set(source, left);
    });
    serveConnection(socket, source, options.resolve, limits);
  });
  await new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen({ fd }, () => {
      server.off('error', fail);
      done();
    });
  });
  server.on('error', (error) => report('the DNS TCP socket failed', { error: error.message }));
  return {
    address: textOf(server.address()),
    close: () => {
      server.close();
      for (const socket of open.keys()) socket.destroy();
    },
    closeStrangers: () => {
      for (const [socket, { source, vmId }] of open) {
        if (guestOf(source)?.vmId === vmId) continue;
        // Node 24 keeps the descriptor of one that is reset while it shuts down.
        if (socket.writableEnded) socket.destroy();
        else socket.resetAndDestroy();
      }
    },
  };
}

function serveConnection(
  socket: Socket,
  source: string,
  resolve: Resolve,
  limits: TcpLimits,
): void {
  const reader = new FrameReader(MAX_QUERY_BYTES);
  let waiting = 0;
  let ended = false;
  // Not socket.setTimeout: one byte now and then would keep that from firing.
  const idle = setTimeout(() => {
    if (waiting > 0) idle.refresh();
    else socket.destroy();
  }, limits.idleMs);

  /** A guest that does not read its answers is not read either. */
  const isFull = () => waiting >= limits.waiting || socket.writableNeedDrain;

  function readOn(): void {
    while (!isFull() && !socket.destroyed) {
      const bytes = reader.next();
      if (bytes === null) {
        socket.destroy();
        return;
      }
      if (bytes === undefined) break;
      waiting++;
      idle.refresh();
      void handle(bytes);
    }
    if (isFull()) socket.pause();
    else socket.resume();
    if (ended && waiting === 0 && !isFull()) socket.end();
  }

  async function handle(bytes: Buffer): Promise<void> {
    const reply = await resolve(bytes, source, 'tcp');
    waiting--;
    if (socket.destroyed) return;
    // No answer at all: not a guest any more, or not a query.
    if (reply === null) {
      socket.destroy();
      return;
    }
    idle.refresh();
    socket.write(frame(reply));
    readOn();
  }

  socket.on('data', (chunk) => {
    reader.push(chunk);
    readOn();
  });
  socket.on('drain', readOn);
  socket.on('end', () => {
    ended = true;
    readOn();
  });
  socket.on('close', () => clearTimeout(idle));
}
