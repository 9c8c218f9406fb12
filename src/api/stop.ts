import { readFileSync } from 'node:fs';
import { Failure, isErrno } from '../host/failure.ts';
import { daemonClient } from './client.ts';
import type { Settings } from './settings.ts';

const END_DEADLINE_MS = 15_000;
/** Removing many running VMs takes a while. */
const PURGE_DEADLINE_MS = 180_000;

/**
 * Ends the daemon and returns when its process is gone.
 * @param purge remove every VM, file and kernel object of vmsan first
 * @returns how many VMs were removed
 * @throws Failure; `not_found` when no daemon runs
 */
export async function stopDaemon(
  settings: Settings,
  { purge }: { purge: boolean },
): Promise<number> {
  const daemon = daemonClient(settings, purge ? 'start' : 'fail');
  const { pid } = await daemon.call('getDaemon', {}, END_DEADLINE_MS);
  if (pid === undefined) throw new Failure('internal', 'the daemon does not say who it is');
  const { removedVms = 0 } = await daemon.call('stopDaemon', { purge }, PURGE_DEADLINE_MS);
  await gone(pid);
  return removedVms;
}

async function gone(pid: number): Promise<void> {
  const deadline = Date.now() + END_DEADLINE_MS;
  while (runs(pid)) {
    if (Date.now() > deadline) {
      throw new Failure('timeout', `the daemon (pid ${pid}) has not ended yet`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** proc_pid_stat(5): the state follows the last ")". A zombie has ended. */
function runs(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !/^ [ZX]/.test(stat.slice(stat.lastIndexOf(')') + 1));
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return false;
    throw error;
  }
}
