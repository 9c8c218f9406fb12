import { createServer, type AddressInfo } from 'node:net';
import { LIMITS, ProxySlots, type ProxyLimits } from './limits.ts';
import type { ProxyGuest, ProxyOptions } from './options.ts';
import { Session } from './session.ts';

export interface ProxyServer<Guest extends ProxyGuest = ProxyGuest> {
  /** Where it listens, "address:port". */
  readonly address: string;
  /** Ends the connections that the policy of now forbids. @returns how many */
  judgeAgain(): number;
  /** How many of a VM's connections would end, were this its guest. */
  wouldEnd(guest: Guest): number;
  /** What a VM has open, each with what it was last let through for. */
  connections(vmId: string): Connection[];
  close(): void;
}

/** An open connection, and where it leads. */
export interface Connection {
  name: string;
  address: string;
  port: number;
}

/** Counts and limits; the two servers of a gate share the slots. */
export interface ServerOptions {
  slots?: ProxySlots;
  limits?: Partial<ProxyLimits>;
}

/**
 * Serves a listening TCP socket that another process made, each connection by
 * `serve`. Nothing that a guest sends ends it.
 * @param fd the inherited descriptor, owned from here on
 * @throws when it is no TCP socket
 */
export async function serveConnections<Guest extends ProxyGuest>(
  fd: number,
  options: ProxyOptions<Guest>,
  server: ServerOptions,
  serve: (session: Session<Guest>) => void,
): Promise<ProxyServer<Guest>> {
  const limits = { ...LIMITS, ...server.limits };
  const slots = server.slots ?? new ProxySlots();
  const context = { options, limits, slots, localAddress: '' };
  const open = new Set<Session<Guest>>();

  const listener = createServer(
    { allowHalfOpen: true, noDelay: true, keepAlive: true },
    (client) => {
      const source = client.remoteAddress ?? '';
      const guest = options.guestOf(source);
      const release = guest && slots.guests.take(guest.vmId, limits.perGuest, limits.total);
      if (guest === undefined || !release) {
        client.on('error', () => {});
        client.resetAndDestroy();
        if (guest) options.report('too many connections through the proxy', { vm: guest.vmId });
        return;
      }
      const session = new Session(client, guest, context, () => {
        open.delete(session);
        release();
      });
      open.add(session);
      serve(session);
    },
  );
  await new Promise<void>((done, fail) => {
    listener.once('error', fail);
    listener.listen({ fd }, () => {
      listener.off('error', fail);
      done();
    });
  });
  listener.on('error', (error) =>
    options.report('a proxy socket failed', { error: error.message }),
  );
  const of = (vmId: string) => [...open].filter((session) => session.vmId === vmId);
  const { address, port } = listener.address() as AddressInfo;
  context.localAddress = address;
  return {
    address: `${address}:${port}`,
    judgeAgain: () => {
      const forbidden = [...open].filter((session) => !session.mayGoOn());
      for (const session of forbidden) session.destroy();
      return forbidden.length;
    },
    wouldEnd: (guest: Guest) => of(guest.vmId).filter((session) => !session.mayGoOn(guest)).length,
    connections: (vmId) => of(vmId).flatMap((session) => session.connection() ?? []),
    close: () => {
      listener.close();
      for (const session of open) session.destroy();
    },
  };
}
