/**
 * A resolver on the lab's host as systemd-resolved's: it hears 127.0.0.53 alone,
 * and asks another one. `stub-resolver.ts UPSTREAM`; prints a line when it is ready.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

const upstream = process.argv[2];
if (upstream === undefined) throw new Error('usage: stub-resolver.ts UPSTREAM');
const stub = createSocket('udp4');
stub.on('message', (query, { address, port }) => {
  const asking = createSocket('udp4');
  asking.once('message', (answer) => {
    asking.close();
    stub.send(answer, port, address);
  });
  asking.send(query, 53, upstream);
});
stub.bind(53, '127.0.0.53');
await once(stub, 'listening');
process.stdout.write('ready\n');
