/**
 * Runs in a wired guest: sends each message of argv[3] (JSON, hex) to argv[2]:53,
 * over UDP and over TCP, one after the other, and prints what came back as JSON:
 * for each a pair of an rcode, or "silent".
 */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';

const DEADLINE_MS = 700;

function overUdp(server: string, message: Buffer): Promise<Buffer | undefined> {
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
  const socket = createSocket('udp4');
  const timer = setTimeout(() => resolve(undefined), DEADLINE_MS);
  socket.once('message', resolve).once('error', () => resolve(undefined));
  socket.send(message, 53, server);
  return promise.finally(() => {
    clearTimeout(timer);
    socket.close();
  });
}

function overTcp(server: string, message: Buffer): Promise<Buffer | undefined> {
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
  const socket = connect(53, server);
  const timer = setTimeout(() => resolve(undefined), DEADLINE_MS);
  socket.once('data', (bytes) => resolve(bytes.subarray(2)));
  socket.once('error', () => resolve(undefined)).once('close', () => resolve(undefined));
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  socket.write(Buffer.concat([length, message]));
  return promise.finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}

const [, , server, messages] = process.argv;
if (import.meta.main && server !== undefined && messages !== undefined) {
  const said = (reply: Buffer | undefined) =>
    reply === undefined || reply.length < 4 ? 'silent' : (reply[3] ?? 0) & 0xf;
  const results = [];
  for (const hex of JSON.parse(messages) as string[]) {
    const message = Buffer.from(hex, 'hex');
    results.push([said(await overUdp(server, message)), said(await overTcp(server, message))]);
  }
  process.stdout.write(JSON.stringify(results));
  process.exit();
}
