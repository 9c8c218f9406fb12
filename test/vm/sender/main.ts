import { readdirSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { NETNS_DIR, planVm, vmOfNetns } from '../../../src/net/plan.ts';
import { framesOf } from './frames.ts';
import { Tap } from './taps.ts';

/**
 * Runs on the lab's host: from the moment a VM's TAP takes frames until its
 * netns is gone, sends what its guest would to get out, whatever becomes of
 * the guest, of QEMU and of the daemon. Arguments: the destinations. For each
 * line on stdin it prints how many frames the kernel has taken.
 */
const POOLS = { subnetPool: '172.16.0.0/16', transitPool: '10.200.0.0/16' };
/** While a link comes up every millisecond may matter. */
const SOON_MS = 2;
const LATER_MS = 15;
const FRESH_FRAMES = 200;
const destinations = process.argv.slice(2);

interface Sending {
  tap: Tap;
  frames: Buffer[];
  next: number;
}
const sending = new Map<number, Sending>();
let taken = 0;

/** @returns milliseconds until the next */
function tick(): number {
  const netns = netnsByInode();
  for (const [inode, { tap }] of sending) {
    if (netns.has(inode)) continue;
    tap.close();
    sending.delete(inode);
  }
  const without = new Set([...netns.keys()].filter((inode) => !sending.has(inode)));
  if (without.size > 0) {
    for (const tap of Tap.findIn(without)) {
      sending.set(tap.inode, { tap, frames: [], next: 0 });
    }
  }
  for (const [inode, one] of sending) send(one, netns.get(inode)!);
  const fresh = [...sending.values()].some(({ next }) => next < FRESH_FRAMES);
  return fresh || without.size > 0 ? SOON_MS : LATER_MS;
}

/** All frames at once when the link has just come up, then one after the other. */
function send(one: Sending, id: string): void {
  if (one.frames.length === 0) one.frames = frames(one.tap, id);
  if (one.frames.length === 0) return;
  const first = one.next === 0;
  for (let count = 0; count < (first ? one.frames.length : 1); count += 1) {
    if (!one.tap.send(one.frames[one.next % one.frames.length]!)) return;
    one.next += 1;
    taken += 1;
  }
}

/** None before the TAP has the address by which its slot can be told: until then it is down. */
function frames(tap: Tap, id: string): Buffer[] {
  const octets = tap.mac().split(':');
  if (octets[0] !== '06' || octets[1] !== '76') return [];
  const slot = Number.parseInt(octets[4]! + octets[5]!, 16);
  return framesOf(planVm(POOLS, slot, id), destinations);
}

function netnsByInode(): Map<number, string> {
  try {
    return new Map(
      readdirSync(NETNS_DIR).flatMap((name) => {
        const id = vmOfNetns(name);
        return id === null ? [] : [[statSync(`${NETNS_DIR}/${name}`).ino, id] as const];
      }),
    );
  } catch {
    // The directory, or a netns in it, has just gone.
    return new Map();
  }
}

function again(): void {
  setTimeout(again, tick());
}
again();
createInterface({ input: process.stdin }).on('line', () => process.stdout.write(`${taken}\n`));
process.stdout.write('ready\n');
