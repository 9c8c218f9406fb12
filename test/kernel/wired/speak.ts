/**
 * Runs in a wired guest: sends each of argv[4] (JSON, hexadecimal) to TCP
 * argv[2]:argv[3] as a segment of its own, and prints the first that comes back, or "".
 */
import { connect } from 'node:net';

const [address = '', port = '', json = '[]'] = process.argv.slice(2);
const socket = connect({ host: address, port: Number(port), noDelay: true });
const over = (said: string) => {
  process.stdout.write(said);
  process.exit();
};
socket.once('data', (bytes) => over(bytes.toString('hex')));
socket.once('error', () => over(''));
socket.once('close', () => over(''));
socket.setTimeout(10_000, () => over(''));
for (const hex of JSON.parse(json) as string[]) {
  await new Promise((sent) => socket.write(Buffer.from(hex, 'hex'), sent));
}
