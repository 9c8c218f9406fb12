import { Failure } from '../host/failure.ts';
import type { VmRecord } from '../store/store.ts';
import type { Context } from './context.ts';
import { removeStateDirectory } from './directories.ts';
import { findVm } from './find.ts';
import { endAtOnce, releaseSteps } from './life.ts';
import { forgetVm } from './netns-directory.ts';
import { runTeardown } from './steps.ts';

/**
 * Removes a VM and all that it had.
 * @throws Failure `conflict` when it runs and `force` is not said; nothing was changed then
 */
export async function removeVm(
  context: Context,
  reference: string,
  { force }: { force: boolean },
): Promise<VmRecord> {
  const { id } = findVm(context.store, reference);
  // Before its turn comes: a stop that is under way may take its time.
  if (force) await endAtOnce(context, id);
  return context.turns.run(id, async () => {
    // Looked up again: another removal may have come first.
    const vm = findVm(context.store, id);
    if (vm.state === 'running' && !force) {
      throw new Failure('conflict', `${vm.name} is running`, {
        hint: `vmsan rm --force ${vm.name}`,
      });
    }
    await removeRecorded(context, vm);
    return vm;
  });
}

/** Removes a VM by its record, which goes last: as long as something is left, it tells of it. */
export async function removeRecorded(context: Context, vm: VmRecord): Promise<void> {
  await runTeardown('remove', vm.name, [
    {
      name: 'record that it goes',
      ofRecord: true,
      do: () => context.store.updateVm({ ...vm, state: 'removing' }),
    },
    ...releaseSteps(context, vm),
    { name: 'remove its disk', do: () => removeStateDirectory(context, vm.id) },
    { name: 'forget it', ofRecord: true, do: () => forgetVm(context, vm.id) },
  ]);
  context.events.add('removed', vm);
}
