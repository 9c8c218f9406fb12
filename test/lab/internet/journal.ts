import { closeSync, openSync, writeSync } from 'node:fs';
import type { Socket } from 'node:net';

/** One thing that reached a server of the lab: a line of its journal. */
export interface Contact {
  /** Milliseconds since 1970. */
  at: number;
  server: 'dns' | 'http' | 'https' | 'echo' | 'lines';
  protocol: 'tcp' | 'udp';
  /**
   * `connection`: TCP came up. `hello`: a TLS handshake, done or failed. `query`: DNS.
   * `request`: an HTTP head. `data`: bytes or a line. `closed`: TCP is over, for whatever reason.
   */
  event: 'connection' | 'hello' | 'query' | 'request' | 'data' | 'closed';
  /** The server's own end. */
  address: string;
  port: number;
  /** The client's end, as the server sees it: a VM's traffic comes from the lab's host. */
  from: string;
  fromPort: number;
  /** DNS question. */
  name?: string;
  type?: string;
  /** HTTP. */
  method?: string;
  host?: string;
  path?: string;
  /** The server name that a TLS client asked for; "" when it named none. */
  sni?: string;
  /** Payload bytes: of this event, or for `closed` all that came from the client. */
  bytes?: number;
  line?: string;
  error?: string;
}

/** The servers' log: JSON lines, each written before the client gets its answer. */
export class Journal {
  #fd: number;
  #count = 0;

  constructor(file: string) {
    this.#fd = openSync(file, 'a', 0o600);
  }

  write(contact: Omit<Contact, 'at'>): void {
    this.#count += 1;
    writeSync(this.#fd, `${JSON.stringify({ at: Date.now(), ...contact })}\n`);
  }

  /**
   * Writes down a TCP connection's beginning and end.
   * @returns its two ends, to be spread into the contacts that follow
   */
  connection(server: Contact['server'], socket: Socket): Ends {
    const ends: Ends = { server, protocol: 'tcp', ...endsOf(socket) };
    this.write({ ...ends, event: 'connection' });
    // A reset is how a policy cuts a flow: an end like any other.
    socket.on('error', () => {});
    socket.on('close', () => {
      this.write({ ...ends, event: 'closed', bytes: socket.bytesRead });
    });
    return ends;
  }

  /** Resolves when all that has arrived in this process's sockets by now is written. */
  async settled(): Promise<void> {
    const turnsInARow = 20;
    let seen = this.#count;
    for (let quiet = 0; quiet < turnsInARow; quiet += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#count !== seen) quiet = 0;
      seen = this.#count;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

export type Ends = Pick<Contact, 'server' | 'protocol' | 'address' | 'port' | 'from' | 'fromPort'>;

export function endsOf(socket: Socket): Pick<Contact, 'address' | 'port' | 'from' | 'fromPort'> {
  return {
    address: plain(socket.localAddress),
    port: socket.localPort ?? 0,
    from: plain(socket.remoteAddress),
    fromPort: socket.remotePort ?? 0,
  };
}

/** An IPv4 address on a dual-stack socket, `::ffff:192.0.2.1`, as IPv4. */
function plain(address = ''): string {
  return address.replace(/^::ffff:/, '');
}
