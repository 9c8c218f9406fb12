import { createSocket } from 'node:dgram';
import type { AddressInfo } from 'node:net';
import { asItIs } from './as-it-is.ts';
import type { Resolve, Report } from './resolver.ts';

export interface Server {
  /** Where it listens, "address:port". */
  readonly address: string;
  close(): void;
}

/**
 * Serves a bound UDP socket that another process made.
 * @param fd the inherited descriptor, owned from here on
 * @throws when it is no UDP socket
 */
export async function serveUdp(fd: number, resolve: Resolve, report: Report): Promise<Server> {
  const socket = createSocket({ type: 'udp4', lookup: asItIs });
  let open = true;

  function send(reply: Buffer | null, address: string, port: number): void {
    if (reply === null || !open) return;
    // Not arrived is the guest's to notice: it asks again.
    socket.send(reply, port, address, sent);
  }

  function sent(error: Error | null): void {
    if (error) report('a DNS answer could not be sent', { error: error.message });
  }

  socket.on('message', (bytes, { address, port }) => {
    const reply = resolve(bytes, address, 'udp');
    if (reply instanceof Promise) void reply.then((late) => send(late, address, port));
    else send(reply, address, port);
  });
  await new Promise<void>((done, fail) => {
    socket.once('error', fail);
    socket.bind({ fd }, () => {
      socket.off('error', fail);
      done();
    });
  });
  socket.on('error', (error) => report('the DNS UDP socket failed', { error: error.message }));
  return {
    address: textOf(socket.address()),
    close: () => {
      open = false;
      socket.close();
    },
  };
}

export function textOf(address: AddressInfo | string | null): string {
  return typeof address === 'object' ? `${address?.address}:${address?.port}` : address;
}
