/**
 * Runs in a wired guest and serves its published ports. A TCP peer is told the
 * address that it has here, and then each of its lines; a UDP peer its address.
 * `serve.ts <port>…`, the same ports of both protocols.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

const listening = process.argv
  .slice(2)
  .map(Number)
  .flatMap((port) => {
    const tcp = createServer((socket) => {
      socket.on('error', () => {});
      socket.write(`from ${socket.remoteAddress?.replace('::ffff:', '')} at ${port}\n`);
      const lines = createInterface({ input: socket });
      // It passes on what its input meets.
      lines.on('error', () => {});
      lines.on('line', (line) => socket.write(`you said: ${line}\n`));
    });
    const udp = createSocket('udp4', (_, { address, port: from }) => {
      udp.send(`from ${address} at ${port}\n`, from, address);
    });
    return [
      new Promise<void>((resolve) => tcp.listen(port, '0.0.0.0', resolve)),
      new Promise<void>((resolve) => udp.bind(port, resolve)),
    ];
  });
await Promise.all(listening);
process.stdout.write('ready\n');
