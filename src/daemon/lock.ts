import { openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tryLock } from '../host/ffi.ts';
import { Failure } from '../host/failure.ts';

/** Beside /run/netns, and like it there once for every host: two daemons would remove each other's VMs. */
const LOCK_FILE = '/run/vmsand.lock';

/**
 * Makes this process the host's only vmsand, for as long as it lives.
 * @throws Failure: `conflict` when the daemon of the same run directory runs
 *   already, `unavailable` when that of another one does
 */
export function becomeOnlyDaemon(runDir: string): void {
  const fd = openSync(LOCK_FILE, 'a+', 0o600);
  if (tryLock(fd)) {
    writeFileSync(LOCK_FILE, runDir);
    return;
  }
  const other = readFileSync(LOCK_FILE, 'utf8');
  if (other === runDir) throw new Failure('conflict', `a daemon of ${runDir} runs already`);
  throw new Failure('unavailable', `another daemon serves this host, with VMSAN_RUN_DIR=${other}`, {
    hint: `VMSAN_RUN_DIR=${other} vmsan list`,
  });
}

/** Removes the lock's file; only for the process that holds it, as its last act. */
export function forgetLock(): void {
  rmSync(LOCK_FILE, { force: true });
}
