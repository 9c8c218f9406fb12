import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import type { Journal } from './journal.ts';

/** Sends back what it gets (RFC 862), TCP, on every address. */
export async function serveTcpEcho(port: number, journal: Journal): Promise<void> {
  const server = createServer((socket) => {
    const ends = journal.connection('echo', socket);
    socket.on('data', (chunk) => {
      journal.write({ ...ends, event: 'data', bytes: chunk.length });
      socket.write(chunk);
    });
  });
  server.listen(port, '::');
  await once(server, 'listening');
}

/** Datagrams up to this long are written down. */
const LINE_BYTES = 64;

/**
 * Sends back what it gets (RFC 862), UDP, on one address: a socket bound to
 * all of them would answer from whichever the kernel picks.
 */
export async function serveUdpEcho(address: string, port: number, journal: Journal): Promise<void> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (message, peer) => {
    journal.write({
      server: 'echo',
      protocol: 'udp',
      event: 'data',
      address,
      port,
      from: peer.address,
      fromPort: peer.port,
      bytes: message.length,
      ...(message.length <= LINE_BYTES ? { line: message.toString('latin1') } : {}),
    });
    socket.send(message, peer.port, peer.address);
  });
  socket.bind(port, address);
  await once(socket, 'listening');
}

/** Greets, then answers each line "you said: <line>". TCP, on every address. */
export async function serveLines(port: number, journal: Journal): Promise<void> {
  const server = createServer((socket) => {
    const ends = journal.connection('lines', socket);
    socket.write('hello from the lab\n');
    const lines = createInterface({ input: socket });
    lines.on('line', (line) => {
      journal.write({ ...ends, event: 'data', bytes: Buffer.byteLength(line), line });
      socket.write(`you said: ${line}\n`);
    });
    // It passes on the socket's: a client that reset the connection.
    lines.on('error', () => {});
  });
  server.listen(port, '::');
  await once(server, 'listening');
}
