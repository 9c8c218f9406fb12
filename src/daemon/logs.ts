import { setTimeout } from 'node:timers/promises';
import { Failure } from '../host/failure.ts';
import type { Context } from './context.ts';
import { findVm } from './find.ts';

/** QEMU tells nobody that its ring has more. */
const LOOK_EVERY_MS = 200;

/**
 * What the guest of a running VM wrote to its console, at most the last 64 KiB;
 * with `follow`, then what it writes until it ends or `left` is aborted. Of a
 * guest that writes more than that between two looks, some is missing.
 * @throws Failure `conflict` when the VM does not run: its console went with its machine
 */
export async function* consoleOf(
  context: Context,
  reference: string,
  follow: boolean,
  left: AbortSignal,
): AsyncGenerator<string> {
  const vm = findVm(context.store, reference);
  const machine = context.live.get(vm.id)?.machine;
  if (machine === undefined) {
    throw new Failure(
      'conflict',
      `${vm.name} is ${vm.state}, and its console went with its machine`,
    );
  }
  let shown = 0;
  yield await machine.consoleTail();
  shown = machine.consoleRead;
  while (follow && !left.aborted && context.live.get(vm.id)?.machine === machine) {
    await setTimeout(LOOK_EVERY_MS);
    const tail = await machine.consoleTail().catch(() => '');
    const fresh = machine.consoleRead - shown;
    shown = machine.consoleRead;
    if (fresh > 0) yield tail.slice(-fresh);
  }
}
