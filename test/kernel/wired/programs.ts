import type { ExecResult } from '../../lab/command.ts';
import type { WiredNetworks } from './commands.ts';

/** What a program in a guest would try. Each gives up by itself after a few seconds. */

/** curl; its exit code 7 is a refused connection, 28 one that nobody answered. */
export function fetch(networks: WiredNetworks, slot: number, url: string): Promise<ExecResult> {
  return networks.exec(slot, ['curl', '-sS', '-m', '5', url]);
}

/** One echo request. Refused: somebody said no at once. */
export async function ping(
  networks: WiredNetworks,
  slot: number,
  address: string,
): Promise<'answered' | 'refused' | 'silent'> {
  const { exitCode, stdout } = await networks.exec(slot, ['ping', '-c1', '-W2', address]);
  if (exitCode === 0) return 'answered';
  return /Packet filtered|Destination .* (Unreachable|Prohibited)/.test(stdout)
    ? 'refused'
    : 'silent';
}

/** What dig prints of one query. */
export async function lookUp(
  networks: WiredNetworks,
  slot: number,
  server: string,
  name: string,
  options: readonly string[] = [],
): Promise<string> {
  const argv = ['dig', '+tries=1', '+time=15', `@${server}`, name, ...options];
  return (await networks.exec(slot, argv)).stdout;
}

/** Asks a resolver 200 times at once. @returns how many answers came within half a second */
export async function burstOfQueries(
  networks: WiredNetworks,
  slot: number,
  server: string,
): Promise<number> {
  const script = `const socket = require('node:dgram').createSocket('udp4');
    const query = Buffer.from('0021010000010000000000000377777707657861' +
      '6d706c65036f72670000010001', 'hex');
    let answers = 0;
    socket.on('message', () => answers++);
    for (let i = 0; i < 200; i++) socket.send(query, 53, '${server}');
    setTimeout(() => { console.log(answers); process.exit(); }, 500);`;
  const argv = [process.execPath, '-e', script];
  return Number((await networks.exec(slot, argv, { check: true })).stdout);
}
