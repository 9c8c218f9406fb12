import { createSocket } from 'node:dgram';
import type { AddressInfo } from 'node:net';
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
  const socket = createSocket('udp4');
  let open = true;

  async function handle(bytes: Buffer, address: string, port: number): Promise<void> {
    const reply = await resolve(bytes, address, 'udp');
    if (reply === null || !open) return;
    // Not arrived is the guest's to notice: it asks again.
    socket.send(reply, port, address, (error) => {
      if (error) report('a DNS answer could not be sent', { error: error.message });
    });
  }

  socket.on('message', (bytes, { address, port }) => void handle(bytes, address, port));
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
