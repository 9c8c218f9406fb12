/**
 * One turn of a measurement; prints milliseconds as JSON.
 *
 *     bulk ADDRESS BYTES         one connection's so many bytes
 *     connections ADDRESS COUNT  so many connections, 16 at a time, each to the first byte of its answer
 *     latency ADDRESS COUNT      each of so many connections, one after the other
 */
import { connect } from 'node:net';
import { CLIENT } from './client-address.ts';
import { clientHello, records } from '../../test/fakes/client-hello.ts';

const [mode, address = '', amount = ''] = process.argv.slice(2);
const PORT = Number(process.argv[5]);
const AT_ONCE = 16;
let lastPort = 32_768 + (process.pid % 20_000);
/** Said, for the kernel looks long for a free one. */
const from = () => ({
  localAddress: CLIENT,
  localPort: (lastPort = lastPort < 60_999 ? lastPort + 1 : 32_768),
});
const buffer = Buffer.alloc(256 << 10);
const helloFor = (name: string) => records(clientHello({ names: [name] }));

function bulk(bytes: number): Promise<number> {
  return new Promise((done, fail) => {
    const start = performance.now();
    let received = 0;
    const socket = connect({
      host: address,
      port: PORT,
      ...from(),
      onread: { buffer, callback: (length) => (received += length) > 0 },
    });
    socket.write(helloFor('bulk.bench.example'));
    socket.on('error', fail);
    socket.on('close', () => {
      const ms = performance.now() - start;
      if (received < bytes) fail(new Error(`${received} bytes of ${bytes}`));
      else done(ms);
    });
  });
}

const QUICK = helloFor('quick.bench.example');

/** Milliseconds from connect to the first byte of the answer. */
function once(): Promise<number> {
  return new Promise((done, fail) => {
    const start = performance.now();
    const socket = connect({ host: address, port: PORT, ...from(), noDelay: true });
    socket.write(QUICK);
    let ms: number | undefined;
    socket.on('error', fail);
    socket.once('data', () => {
      ms = performance.now() - start;
      socket.end();
    });
    socket.on('close', () => (ms === undefined ? fail(new Error('no answer')) : done(ms)));
  });
}

async function connections(count: number): Promise<number> {
  const start = performance.now();
  let left = count;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (left-- > 0) await once();
    }),
  );
  return performance.now() - start;
}

const samples: number[] = [];
if (mode === 'bulk') samples.push(await bulk(Number(amount)));
else if (mode === 'connections') samples.push(await connections(Number(amount)));
else for (let i = 0; i < Number(amount); i++) samples.push(await once());
process.stdout.write(JSON.stringify(samples));
