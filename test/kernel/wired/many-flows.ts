/**
 * Runs in a wired guest: opens argv[4] TCP flows to argv[2]:argv[3], a few at a
 * time, and prints how many there are as JSON (`FlowCount`). They stay open; then, for
 * each line on stdin, it sends that on every one and prints how many sent it back.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

export interface FlowCount {
  open: number;
  refused: number;
}

const AT_ONCE = 64;

async function open(address: string, port: number): Promise<Socket | null> {
  const socket = connect(port, address);
  try {
    await once(socket, 'connect');
  } catch {
    return null;
  }
  return socket.on('error', () => {});
}

async function answers(socket: Socket): Promise<boolean> {
  socket.write('hello');
  return await once(socket, 'data').then(
    () => true,
    () => false,
  );
}

const [, , address, port, count] = process.argv;
if (import.meta.main && address !== undefined) {
  const flows: Socket[] = [];
  let refused = 0;
  let left = Number(count);
  const worker = async () => {
    while (left-- > 0) {
      const flow = await open(address, Number(port));
      if (flow === null) refused += 1;
      else flows.push(flow);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  process.stdout.write(`${JSON.stringify({ open: flows.length, refused })}\n`);
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === 'close one') flows.pop()?.destroy();
    const answered = await Promise.all(flows.map(answers));
    process.stdout.write(`${answered.filter(Boolean).length}\n`);
  }
  process.exit();
}
