import { writeSync } from 'node:fs';
import { boundedFile, closeFd } from '../host/ffi.ts';
import { run } from '../host/run.ts';
import type { PublishedPort } from '../policy/published-ports.ts';
import type { VmNetwork } from './plan.ts';

/**
 * Flows that others began with a guest, by its published ports. The host's
 * connection tracking knows each by where it led, and while its peer goes on it
 * leads there: a UDP client that never changes its port would not find the next
 * VM that publishes the same one. Forgotten, its next packet is a first one.
 */

/** Forgets the flows of some ports of a VM's, or of all. What is none is no error. */
export async function forgetEntered(
  vm: VmNetwork,
  ports: 'all' | readonly PublishedPort[],
): Promise<void> {
  const which = ports === 'all' ? [''] : ports.map(flowsOf);
  const commands = which.map((flows) => `-D -f ipv4 --reply-src ${vm.guestIp}${flows}\n`);
  if (commands.length > 0) await conntrack(Buffer.from(commands.join('')));
}

/** One process for all of them. It opens what it reads by its path, which a pipe of Node's has not. */
async function conntrack(commands: Buffer): Promise<void> {
  const file = boundedFile('conntrack', commands.length);
  try {
    writeSync(file, commands, 0, commands.length, 0);
    await run(['conntrack', '--load-file', `/proc/${process.pid}/fd/${file}`]);
  } finally {
    closeFd(file);
  }
}

function flowsOf({ protocol, address, hostPort }: PublishedPort): string {
  const at = address === null ? '' : ` --orig-dst ${address}`;
  return `${at} -p ${protocol} --orig-port-dst ${hostPort}`;
}
