import type { Lab } from '../lab/lab.ts';

/**
 * Ends the daemon at each boundary of an operation in turn, until the
 * operation comes through because it has no more: before its first step,
 * between any two, and after its last.
 * @param act starts the operation; it may fail, and wait for nothing
 * @param check what holds afterwards; the next daemon starts when it asks for something
 * @returns the number of boundaries
 */
export async function atEachBoundary(
  lab: Lab,
  operation: string,
  options: { act: () => Promise<unknown>; check: (stepsDone: number) => Promise<void> },
): Promise<number> {
  for (let stepsDone = 0; ; stepsDone += 1) {
    await startDoomed(lab, `${operation}:${stepsDone}`);
    await options.act();
    if (!(await died(lab))) return stepsDone;
    try {
      await options.check(stepsDone);
    } catch (error) {
      throw new Error(`after ${operation}:${stepsDone}: ${String(error)}`, { cause: error });
    }
  }
}

/** Starts a daemon that ends at `point`, in the place of the one that runs. @returns whether it became ready */
export async function startDoomed(lab: Lab, point: string): Promise<boolean> {
  await lab.vmsan(['daemon', 'stop'], { check: true });
  const { exitCode } = await lab.vmsan(['daemon', 'start'], { env: { VMSAN_TEST_CRASH: point } });
  return exitCode === 0;
}

/** Whether no daemon answers. Unlike the CLI this starts none. */
async function died(lab: Lab): Promise<boolean> {
  const state = await stateOf(lab, '');
  return state === 'no daemon';
}

/** A VM's state as the daemon's API names it, `none`, or `no daemon`; starts none. */
export async function stateOf(lab: Lab, vm: string): Promise<string> {
  const { exitCode, stdout } = await lab.exec([
    ...['curl', '-sS', '--unix-socket', '/run/vmsan/vmsan.sock'],
    ...['-H', 'content-type: application/json', '-d', JSON.stringify({ vm })],
    'http://vmsan/vmsan.v1.VmsanService/GetVm',
  ]);
  if (exitCode !== 0) return 'no daemon';
  const answer = JSON.parse(stdout) as { vm?: { state: string } };
  return answer.vm?.state ?? 'none';
}
