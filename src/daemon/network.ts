import { Failure } from '../host/failure.ts';
import { policyOf } from '../api/values.ts';
import { replaceRuleset } from '../net/vm-links.ts';
import { formatPolicy } from '../policy/policy.ts';
import type { VmRecord } from '../store/store.ts';
import { networkOf, type Context } from './context.ts';
import { findVm } from './find.ts';
import { runSteps, type Step } from './steps.ts';

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
    await runSteps('network', changeSteps(context, before, after));
    context.events.add(
      'network',
      after,
      `${formatPolicy(before.policy)} -> ${formatPolicy(after.policy)}`,
    );
    return { before, after, effectiveMs: performance.now() - arrived };
  });
}

function changeSteps(context: Context, before: VmRecord, after: VmRecord): Step[] {
  const { id, policy, generation } = after;
  return [
    {
      // First: after a crash here, the next daemon renders what the user asked for.
      name: 'record the policy',
      do: () => context.store.updateVm(after),
      undo: () => context.store.updateVm(before),
    },
    {
      name: 'tell the gate',
      do: () => context.sharedNetwork.changePolicy(id, policy),
      undo: () => context.sharedNetwork.changePolicy(id, before.policy),
    },
    {
      // One transaction: when it fails nothing was changed.
      name: 'replace the ruleset',
      do: () => {
        if (after.state !== 'running') return;
        replaceRuleset(networkOf(context, after), context.host, policy, generation);
      },
    },
  ];
}
