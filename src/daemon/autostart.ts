import { availableParallelism } from 'node:os';
import { messageOf } from '../host/failure.ts';
import type { Context } from './context.ts';
import { startVm } from './start.ts';

/** The fact that lists, as JSON, the ids of the VMs that are still to be started after a reboot. */
const PENDING = 'to start after the reboot';

/**
 * Notes which VMs ran when the host went down and are to run again: what was
 * stopped stays stopped. To be called before any record is touched; a daemon
 * that dies meanwhile leaves the list to the next one.
 */
export function noteReboot(context: Context): void {
  const ran = context.store
    .vms()
    .filter(({ autostart, state }) => autostart && (state === 'running' || state === 'starting'))
    .map(({ id }) => id);
  setPending(context, new Set([...pending(context), ...ran]));
}

/** It is not to be started again, or has been. */
export function forgetAutostart(context: Context, id: string): void {
  const left = pending(context);
  if (left.delete(id)) setPending(context, left);
}

/** Starts those that are noted, as many at once as there are processors. Never throws. */
export async function startAgain(context: Context): Promise<void> {
  const ids = [...pending(context)];
  const worker = async () => {
    for (let id = ids.shift(); id !== undefined; id = ids.shift()) await startOne(context, id);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}

async function startOne(context: Context, id: string): Promise<void> {
  const vm = context.store.vms().find((known) => known.id === id);
  // It may have been stopped, or removed, since.
  if (!pending(context).has(id) || vm === undefined) return;
  try {
    const notice = (text: string) => context.log.info({ vm: id }, text);
    await startVm(context, id, { step: () => {}, notice });
  } catch (error) {
    const why = messageOf(error);
    context.log.error({ vm: id, error: why }, 'could not be started after the reboot');
    context.events.add('stopped', vm, `could not be started after the reboot: ${why}`);
  }
  forgetAutostart(context, id);
}

function pending(context: Context): Set<string> {
  return new Set(JSON.parse(context.store.fact(PENDING) ?? '[]') as string[]);
}

function setPending(context: Context, ids: ReadonlySet<string>): void {
  if (ids.size > 0) context.store.setFact(PENDING, JSON.stringify([...ids]));
  else context.store.removeFact(PENDING);
}
