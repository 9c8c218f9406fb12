import { nftables } from '../host/nft.ts';
import type { VmNetwork } from './plan.ts';
import { SEEN_MS, SEEN_SETS } from './vm-seen.ts';

/** Packets and bytes since a VM's network was made, or since its policy was loaded. */
export interface Count {
  packets: number;
  bytes: number;
}

/** A destination that the kernel let packets of a VM go to, or refused them. */
export interface Seen extends Count {
  verdict: 'allow' | 'deny';
  destination: string;
  /** As nft names it: "tcp", "icmp", or a number. */
  protocol: string;
  /** Of TCP and UDP. */
  port?: number;
  /** When the last packet came; milliseconds since 1970. */
  atMs: number;
}

/** The counters of a VM's netns, by name. */
export function readCounters(vm: VmNetwork): Map<string, Count> {
  return parseCounters(nftables(vm.netnsPath, 'list counters'), [vm.table, vm.capsTable]);
}

/**
 * What the policy of now has let through or refused, a destination each.
 * @param verdict of one kind only
 */
export function readSeen(vm: VmNetwork, verdict: Seen['verdict'], nowMs = Date.now()): Seen[] {
  // One command each: libnftables 1.0.6 lists only the last of several.
  return SEEN_SETS[verdict].flatMap((set) =>
    parseSeen(nftables(vm.netnsPath, `list set inet ${vm.table} ${set}`), verdict, nowMs),
  );
}

/** Empties what `readSeen` gives. */
export function forgetSeen(vm: VmNetwork, verdict: Seen['verdict']): void {
  const flushes = SEEN_SETS[verdict].map((set) => `flush set inet ${vm.table} ${set}\n`);
  nftables(vm.netnsPath, flushes.join(''));
}

/**
 *     table inet vmsan {
 *             counter refused {
 *                     packets 3 bytes 180
 *             }
 *     }
 *
 * @param tables whose counters are wanted, of any family; no two of one name
 */
export function parseCounters(text: string, tables: readonly string[]): Map<string, Count> {
  const parts = text.split(/^table /m).filter((part) => tables.includes(part.split(' ')[1] ?? ''));
  const counters = /counter (\w+) \{\s+packets (\d+) bytes (\d+)/g;
  return new Map(
    [...parts.join('').matchAll(counters)].map(([, name = '', packets, bytes]) => [
      name,
      { packets: Number(packets), bytes: Number(bytes) },
    ]),
  );
}

/**
 *     elements = { 192.0.2.1 . tcp . 80 counter packets 3 bytes 180 expires 59m59s980ms,
 *                  192.0.2.1 . icmp counter packets 1 bytes 84 expires 3s12ms }
 */
export function parseSeen(text: string, verdict: Seen['verdict'], nowMs: number): Seen[] {
  const elements =
    /([\d.]+) \. (\w[\w.-]*)(?: \. (\d+))? counter packets (\d+) bytes (\d+) expires (\w+)/g;
  return [...text.matchAll(elements)].map(
    ([, destination = '', protocol = '', port, packets, bytes, expires = '']) => ({
      verdict,
      destination,
      protocol,
      ...(port === undefined ? {} : { port: Number(port) }),
      packets: Number(packets),
      bytes: Number(bytes),
      atMs: Math.min(nowMs, nowMs - SEEN_MS + milliseconds(expires)),
    }),
  );
}

const UNITS: Readonly<Record<string, number>> = {
  d: 86_400_000,
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
};

/** `59m59s980ms`, as nft writes a time. */
function milliseconds(text: string): number {
  const parts = [...text.matchAll(/(\d+)(ms|[dhms])/g)];
  return parts.reduce((sum, [, number, unit = '']) => sum + Number(number) * (UNITS[unit] ?? 0), 0);
}
