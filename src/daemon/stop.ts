import { checkGrace } from '../api/values.ts';
import { Failure, messageOf } from '../host/failure.ts';
import type { VmRecord } from '../store/store.ts';
import { forgetAutostart } from './autostart.ts';
import type { Context, LiveVm } from './context.ts';
import { findVm } from './find.ts';
import { endAtOnce, haltSteps } from './life.ts';
import { runTeardown } from './steps.ts';

/** What a guest may take, beyond its grace, to write its disk and to power off. */
const ORDERLY_END_MS = 10_000;

/**
 * Stops a VM: asks its guest to shut down, and ends the machine of one that
 * has not done so within that grace and ten seconds. Its disk is kept. One that
 * is stopped already is left as it is.
 * @param asked milliseconds between SIGTERM and SIGKILL in the guest; 0: the machine ends at once
 * @returns its record, stopped, once nothing of it runs
 */
export async function stopVm(
  context: Context,
  reference: string,
  asked: number,
): Promise<VmRecord> {
  const graceMs = checkGrace(asked);
  const { id } = findVm(context.store, reference);
  forgetAutostart(context, id);
  // Before its turn comes: a stop with more patience may be under way.
  if (graceMs === 0) await endAtOnce(context, id);
  return context.turns.run(id, async () => {
    const vm = findVm(context.store, id);
    if (vm.state === 'stopped') return vm;
    if (vm.state === 'creating' || vm.state === 'removing') {
      throw new Failure('conflict', `${vm.name} is ${vm.state}`);
    }
    await runTeardown('stop', vm.name, [
      { name: 'ask the guest to shut down', do: () => askToShutDown(context, vm, graceMs) },
      ...haltSteps(context, vm, 'asked for'),
    ]);
    return findVm(context.store, id);
  });
}

/** Never throws: what the guest does not do is done to it. */
async function askToShutDown(context: Context, vm: VmRecord, graceMs: number): Promise<void> {
  const live = context.live.get(vm.id);
  if (live === undefined || graceMs === 0) return;
  live.leaving = true;
  // A guest that stands still hears nothing.
  if (live.machine.stall !== null) return;
  const deadline = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    deadline.reject(new Failure('timeout', 'the guest did not shut down in time'));
  }, graceMs + ORDERLY_END_MS);
  try {
    await Promise.race([shutDown(live, graceMs), deadline.promise]);
  } catch (error) {
    context.log.warn({ vm: vm.id, error: messageOf(error) }, 'no orderly end, so a firm one');
  } finally {
    clearTimeout(timer);
  }
}

async function shutDown({ agent, machine }: LiveVm, graceMs: number): Promise<void> {
  const connected = await agent;
  await connected.shutdown(graceMs);
  await machine.ended;
}
