/**
 * Runs on the lab's internet: takes what TCP brings to port argv[3], and forgets it.
 * For each line on stdin it prints what the link argv[2] has received, as JSON (`Reading`).
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

export interface Reading {
  bytes: number;
  atMs: number;
}

function read(link: string): Reading {
  const line = readFileSync('/proc/self/net/dev', 'latin1')
    .split('\n')
    .find((each) => each.trim().startsWith(`${link}:`));
  const bytes = Number(line?.split(':')[1]?.trim().split(/ +/)[0]);
  return { bytes, atMs: performance.now() };
}

const [, , link, port] = process.argv;
if (import.meta.main && link !== undefined) {
  const server = createServer((socket) => socket.on('error', () => {}).resume());
  server.listen(Number(port), () => process.stdout.write('ready\n'));
  for await (const _ of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(read(link))}\n`);
  }
  process.exit();
}
