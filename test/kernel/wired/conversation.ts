import type { ChildProcess } from 'node:child_process';
import { killGroup } from '../../lab/command.ts';
import { until } from '../../lab/until.ts';
import type { WiredNetworks } from './commands.ts';

/** A TCP connection to a server that answers lines. */
export interface Conversation extends Disposable {
  /** Sends a line and waits for its answer. @throws when the connection has ended */
  say(line: string): Promise<void>;
  /** Sends a line, and waits until the connection has ended. */
  expectEnd(): Promise<void>;
}

const PROGRAM = `const [port, address] = process.argv.slice(1);
  const socket = require('node:net').connect(Number(port), address, () => console.log('open'));
  socket.on('data', (data) => process.stdout.write(data));
  socket.on('error', () => console.log('ended')).on('end', () => console.log('ended'));
  process.stdin.pipe(socket);`;

/** The program that opens a connection, as arguments of a command. */
export function talking(address: string, port: number): string[] {
  return [process.execPath, '-e', PROGRAM, String(port), address];
}

/** Opens a connection of a wired guest's. @throws when it does not open */
export function converse(
  networks: WiredNetworks,
  slot: number,
  address: string,
  port: number,
): Promise<Conversation> {
  return talk(networks.spawn(slot, talking(address, port)), address);
}

/** @param child runs what `talking` says */
export async function talk(child: ChildProcess, address: string): Promise<Conversation> {
  let said = '';
  child.stdout!.on('data', (chunk: Buffer) => (said += String(chunk)));
  // It may have ended before it is spoken to.
  child.stdin!.on('error', () => {});
  const ended = () => said.includes('ended');
  const expect = async (words: string) => {
    await until(`"${words}" of ${address}`, () => said.includes(words) || ended());
    if (!said.includes(words)) throw new Error(`the connection ended: ${said}`);
  };
  await expect('open');
  return {
    say: async (line) => {
      child.stdin!.write(`${line}\n`);
      await expect(`you said: ${line}\n`);
    },
    expectEnd: async () => {
      child.stdin!.write('over\n');
      await until(`the connection to ${address} ends`, ended);
    },
    [Symbol.dispose]: () => killGroup(child),
  };
}
