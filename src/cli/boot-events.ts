import type { ResponseOf } from '../api/calls.ts';
import { Failure } from '../host/failure.ts';
import type { Progress } from './print/progress.ts';
import { printable, remark } from './print/text.ts';
import { vmJson, type VmJson } from './print/vm.ts';

/**
 * Reads the events of a creation or a start: steps are shown, notices printed.
 * @returns the VM, which runs
 */
export async function bootedVm(
  events: AsyncIterable<ResponseOf<'createVm' | 'startVm'>>,
  steps: Progress,
): Promise<VmJson> {
  let booted: VmJson | undefined;
  for await (const { step, notice, vm } of events) {
    if (step !== undefined) steps.show(printable(step));
    if (notice !== undefined) {
      steps.clear();
      remark(printable(notice));
    }
    if (vm !== undefined) booted = vmJson(vm);
  }
  if (booted !== undefined) return booted;
  throw new Failure('internal', 'the daemon booted no VM and gave no error');
}
