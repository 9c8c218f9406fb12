import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isErrno } from '../host/failure.ts';

/**
 * For tests alone: `VMSAN_TEST_CRASH=FILE` makes vmsand kill itself (-9) at the
 * place that the first line of FILE names, and take that line out: `create:3`
 * is the moment a creation has done three of its steps, `undo create:0` the
 * one before one that failed is undone. The next line is for the next daemon.
 * Unset, as it always is outside tests, none of this does anything.
 */
const file = process.env['VMSAN_TEST_CRASH'];

/** One of the places between steps where a test can end vmsand. */
export function mayCrash(operation: string, stepsDone: number): void {
  if (file === undefined) return;
  const [first, ...later] = points(file);
  if (first !== `${operation}:${stepsDone}`) return;
  if (later.length > 0) writeFileSync(file, later.join('\n'));
  else rmSync(file);
  process.kill(process.pid, 'SIGKILL');
}

function points(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}
