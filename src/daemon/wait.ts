import { Failure } from '../host/failure.ts';
import type { Context } from './context.ts';
import { findVm } from './find.ts';

const PATIENCE_MAX_MS = 60_000;

export interface Waited {
  id: string;
  name: string;
  end: 'not yet' | 'stopped' | 'removed';
}

/**
 * Waits until a VM is stopped or removed, or until `patienceMs` have passed.
 * @throws Failure `not_found`
 */
export async function waitForEnd(
  context: Context,
  reference: string,
  patienceMs: number,
  left: AbortSignal,
): Promise<Waited> {
  if (patienceMs > PATIENCE_MAX_MS) {
    throw new Failure('bad_input', `a patience of more than ${PATIENCE_MAX_MS} ms`);
  }
  const { id, name } = findVm(context.store, reference);
  const enough = AbortSignal.any([left, AbortSignal.timeout(patienceMs)]);
  for (;;) {
    const vm = context.store.vms().find((known) => known.id === id);
    if (vm === undefined) return { id, name, end: 'removed' };
    if (vm.state === 'stopped') return { id, name, end: 'stopped' };
    if (enough.aborted) return { id, name, end: 'not yet' };
    await context.events.next(enough);
  }
}
