import { Failure } from '../host/failure.ts';
import { policyOf } from '../api/values.ts';
import { replaceRuleset } from '../net/vm-links.ts';
import type { VmRecord } from '../store/store.ts';
import { networkOf, type Context } from './context.ts';
import { findVm } from './find.ts';

/** What a change of policy did. When it is given, the kernel enforces `after`. */
export interface Receipt {
  before: VmRecord;
  after: VmRecord;
  /** From the request's arrival to the kernel's commit. */
  effectiveMs: number;
}

/**
 * Replaces a VM's policy as a unit, while it runs. A new generation makes the
 * kernel judge every flow again at its next packet.
 */
export async function setNetwork(
  context: Context,
  reference: string,
  policyText: string,
): Promise<Receipt> {
  const arrived = performance.now();
  const policy = policyOf(policyText);
  const { id } = findVm(context.store, reference);
  return context.turns.run(id, async () => {
    const before = findVm(context.store, id);
    if (before.state !== 'running' && before.state !== 'stopped') {
      throw new Failure('conflict', `${before.name} is ${before.state}`);
    }
    const after: VmRecord = { ...before, policy, generation: before.generation + 1 };
    // The record first: after a crash here, the next daemon renders what the user asked for.
    context.store.updateVm(after);
    try {
      await context.sharedNetwork.changePolicy(id, policy);
      if (after.state === 'running') {
        replaceRuleset(networkOf(context, after), context.host, policy, after.generation);
      }
    } catch (error) {
      context.store.updateVm(before);
      await context.sharedNetwork.changePolicy(id, before.policy);
      throw error;
    }
    return { before, after, effectiveMs: performance.now() - arrived };
  });
}
