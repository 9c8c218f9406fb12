import { messageOf } from '../host/failure.ts';
import type { Context, LiveVm } from './context.ts';
import { spaceIsBack, stallWords } from './disk-space.ts';

/** A QEMU can say that its guest stands still as often as it likes; it is heard this often. */
const LOOK_EVERY_MS = 1_000;
/** Tries wait longer and longer: free space need not be space for this one (a quota, say). */
const LONGEST_WAIT_MS = 60_000;

/** What is known of a VM that stands still. */
interface Standing {
  waitMs: number;
  nextTryMs: number;
}

/**
 * Tells the log and the events of guests that stand still because their disk
 * could not be written, and lets them go on when there is space again.
 */
export function watchStalls(context: Context): void {
  const standing = new WeakMap<LiveVm, Standing>();
  const said = new WeakSet<LiveVm>();
  setInterval(() => {
    for (const [id, live] of context.live) {
      const { stall } = live.machine;
      if (stall === null) {
        if (said.delete(live)) report(context, id, 'resumed', '');
        continue;
      }
      if (!said.has(live)) {
        said.add(live);
        report(context, id, 'paused', stallWords(context, stall));
      }
      if (stall !== 'no space' || !spaceIsBack(context)) continue;
      const now = performance.now();
      const last = standing.get(live);
      if (last !== undefined && now < last.nextTryMs) continue;
      // One that went on for a while begins anew.
      const lately = last !== undefined && now < last.nextTryMs + LONGEST_WAIT_MS;
      const waitMs = lately ? Math.min(LONGEST_WAIT_MS, 2 * last.waitMs) : LOOK_EVERY_MS;
      standing.set(live, { waitMs, nextTryMs: now + waitMs });
      live.machine.resume().catch((error: unknown) => {
        context.log.warn({ vm: id, error: messageOf(error) }, 'cannot go on');
      });
    }
  }, LOOK_EVERY_MS).unref();
}

function report(context: Context, id: string, kind: 'paused' | 'resumed', detail: string): void {
  const vm = context.store.vms().find((known) => known.id === id);
  if (vm === undefined) return;
  context.log.warn({ vm: id, detail }, kind);
  context.events.add(kind, vm, detail);
}
