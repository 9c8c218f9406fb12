import { Failure } from '../host/failure.ts';
import { routedNetworks } from '../net/routes.ts';
import type { VmRecord } from '../store/store.ts';
import { chooseAccelerator } from './accelerator.ts';
import { bringUpSteps } from './bring-up.ts';
import type { Context } from './context.ts';
import { sayMissingGroups } from './control-groups.ts';
import { inTurn, type BootProgress } from './create.ts';
import { refuseFullDisk, spaceIsBack, standsStill } from './disk-space.ts';
import { findVm } from './find.ts';
import { makeNetworksAhead } from './networks-ahead.ts';
import { refuseRoutedSlot } from './slots.ts';
import { runSteps } from './steps.ts';

/**
 * Boots a stopped VM again, with the disk, the slot and the policy it has.
 * One that runs already is left as it is, one that is paused tries again.
 * @returns its record, once its agent has answered and its policy is in force
 * @throws Failure; then it is stopped, as before
 */
export async function startVm(
  context: Context,
  reference: string,
  progress: BootProgress,
): Promise<VmRecord> {
  const { id } = findVm(context.store, reference);
  const images = await context.images();
  return context.turns.run(id, async () => {
    const vm = findVm(context.store, id);
    if (vm.state === 'running') {
      await goOn(context, vm);
      return vm;
    }
    if (vm.state !== 'stopped') {
      throw new Failure('conflict', `${vm.name} is ${vm.state}`, {
        hint: `vmsan stop ${vm.name}`,
      });
    }
    vm.accelerator = await chooseAccelerator(context, images, progress.notice);
    sayMissingGroups(context, progress.notice);
    refuseFullDisk(context);
    refuseRoutedSlot(context.host.pools, vm.slot, await routedNetworks());
    const steps = [
      {
        name: 'record that it starts',
        do: () => context.store.updateVm({ ...vm, state: 'starting' }),
        undo: () => context.store.updateVm({ ...vm, state: 'stopped', process: null }),
      },
      ...bringUpSteps(context, vm, images),
    ];
    await inTurn(context, progress, () => runSteps('start', steps, progress.step));
    context.events.add('started', vm, vm.policy.base);
    makeNetworksAhead(context);
    return vm;
  });
}

/** Lets a paused VM try again what it could not write. @throws Failure when there still is no space for it */
async function goOn(context: Context, vm: VmRecord): Promise<void> {
  const machine = context.live.get(vm.id)?.machine;
  if (!machine?.stall) return;
  if (machine.stall === 'no space' && !spaceIsBack(context)) {
    throw standsStill(context, vm, machine.stall);
  }
  await machine.resume();
}
