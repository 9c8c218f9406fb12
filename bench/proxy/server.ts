/**
 * The server behind what is measured: answers any ClientHello with a
 * ServerHello, and for a name with "bulk" in it goes on with so many bytes.
 * Arguments: address, port, bytes. Prints "ready".
 */
import { createServer } from 'node:net';
import { records, serverHello } from '../../test/fakes/client-hello.ts';

const [address, port, bytes] = process.argv.slice(2);
const HELLO = records(serverHello());
const CHUNK = Buffer.alloc(256 << 10);

const server = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => {});
  socket.once('data', (hello) => {
    socket.write(HELLO);
    if (!hello.includes('bulk')) return;
    let left = Number(bytes);
    const send = () => {
      while (left > 0) {
        const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
        left -= chunk.length;
        if (!socket.write(chunk)) return;
      }
      socket.end();
    };
    socket.on('drain', send);
    send();
  });
});
server.listen({ host: address, port: Number(port), backlog: 1024 }, () => {
  process.stdout.write('ready\n');
});
