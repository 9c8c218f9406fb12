/**
 * Runs in a wired guest. `transfer.ts download ADDRESS HOST BYTES` fetches so
 * many bytes over HTTP, slowly until it is told to take the rest;
 * `transfer.ts echo ADDRESS PORT` sends numbered blocks and compares what comes
 * back, until it is told to stop. Prints `open`, then how many bytes came, or
 * `broken` and why.
 */
import { connect, type Socket } from 'node:net';

const [what, address = '', third = '', bytes = ''] = process.argv.slice(2);
const EVERY_MS = 10;

function finish(line: string): void {
  console.log(line);
  process.exit();
}

function broken(socket: Socket): void {
  socket.on('error', (error) => finish(`broken ${error.message}`));
  socket.on('close', () => finish('broken: it was closed'));
}

function download(): void {
  const socket = connect(80, address);
  broken(socket);
  socket.write(`GET /bytes/${bytes} HTTP/1.1\r\nhost: ${third}\r\n\r\n`);
  let slow = true;
  let head = '';
  let got = -1;
  socket.on('data', (chunk: Buffer) => {
    if (got === -1) {
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end === -1) return;
      got = head.length - end - 4;
      console.log('open');
    } else got += chunk.length;
    if (got === Number(bytes)) finish(String(got));
    if (!slow) return;
    socket.pause();
    setTimeout(() => socket.resume(), EVERY_MS);
  });
  process.stdin.once('data', () => (slow = false));
}

function echo(): void {
  const socket = connect(Number(third), address, () => console.log('open'));
  broken(socket);
  let block = 0;
  let got = 0;
  let last = false;
  let expected = Buffer.alloc(0);
  const send = () => {
    expected = Buffer.alloc(4096, `${(block += 1)} `);
    socket.write(expected);
  };
  socket.on('data', (chunk: Buffer) => {
    if (!chunk.equals(expected.subarray(0, chunk.length))) finish('broken: other bytes came back');
    expected = expected.subarray(chunk.length);
    got += chunk.length;
    if (expected.length > 0) return;
    if (last) finish(String(got));
    setTimeout(send, EVERY_MS);
  });
  process.stdin.once('data', () => (last = true));
  send();
}

if (what === 'download') download();
else echo();
