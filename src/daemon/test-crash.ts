/**
 * For tests alone: `VMSAN_TEST_CRASH="create:3"` makes vmsand kill itself (-9)
 * the moment a creation has done three of its steps. `undo create` names the
 * undoing of one that failed. Unset, as it always is outside tests, none of
 * this does anything.
 */
const point = process.env['VMSAN_TEST_CRASH'];

/** One of the places between steps where a test can end vmsand. */
export function mayCrash(operation: string, stepsDone: number): void {
  if (point === `${operation}:${stepsDone}`) process.kill(process.pid, 'SIGKILL');
}
