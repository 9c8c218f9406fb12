import { readFileSync } from 'node:fs';
import { inNetns } from '../host/ffi.ts';
import { run } from '../host/run.ts';
import { inNamespace } from '../host/ip.ts';
import type { Bandwidth } from '../policy/bandwidth.ts';
import type { VmNetwork } from './plan.ts';

export interface Count {
  bytes: number;
  packets: number;
}

/** What passed a VM's links since they were made; frames with their Ethernet headers. */
export interface LinkCounts {
  /** What left for the host. */
  sent: Count;
  /** What the guest was given. */
  received: Count;
}

/** @throws when the VM has no network: it does not run */
export function readLinkCounts(vm: VmNetwork): LinkCounts {
  // `self` would be the main thread's namespace.
  const read = () => readFileSync('/proc/thread-self/net/dev', 'latin1');
  const links = parseLinks(vm.netnsPath === undefined ? read() : inNetns(vm.netnsPath, read));
  const tap = links.get(vm.tap);
  const sent = vm.netns === undefined ? tap?.received : links.get(vm.uplink)?.sent;
  return { sent: sent ?? NOTHING, received: tap?.sent ?? NOTHING };
}

const NOTHING: Count = { bytes: 0, packets: 0 };

/**
 *     Inter-|   Receive                                                |  Transmit
 *      face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs …
 *       up0:    1234      12    0    0    0     0          0         0     5678      56    0 …
 *
 * (proc_pid_net(5)); `received` is what the kernel had from the link.
 */
export function parseLinks(text: string): Map<string, { received: Count; sent: Count }> {
  const lines = text.split('\n').flatMap((line) => {
    const [name, numbers] = line.split(':');
    if (name === undefined || numbers === undefined) return [];
    const fields = numbers.trim().split(/ +/).map(Number);
    const count = (first: number) => ({ bytes: fields[first]!, packets: fields[first + 1]! });
    return [[name.trim(), { received: count(0), sent: count(8) }] as const];
  });
  return new Map(lines);
}

/** Frames that a VM's limits dropped: more than may wait had come. */
export async function readLimitDrops(
  vm: VmNetwork,
  limits: Bandwidth,
): Promise<{ out: number; in: number }> {
  const dropped = { out: 0, in: 0 };
  if (limits.out === null && limits.in === null) return dropped;
  const { stdout } = await run(['tc', ...inNamespace(vm.netns), '-s', '-j', 'qdisc', 'show']);
  for (const { kind, dev, drops } of JSON.parse(stdout) as Discipline[]) {
    if (kind !== 'tbf') continue;
    if (dev === vm.uplink) dropped.out += drops;
    if (dev === vm.tap) dropped.in += drops;
  }
  return dropped;
}

/** As `tc -s -j qdisc` prints it. */
interface Discipline {
  kind: string;
  dev: string;
  drops: number;
}
