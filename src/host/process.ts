import { readdirSync, readFileSync, statSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { isErrno } from './failure.ts';

/** A process id is used again; with its start time (proc_pid_stat(5), field 22) it is not. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks since boot. */
  startTicks: string;
}

/**
 * The identity of the process that has `pid` now, or null when there is none or
 * only a zombie. One whose other threads are yet to end is none: its
 * descriptors are open.
 */
export function identify(pid: number): ProcessIdentity | null {
  const fields = statOf(pid) ?? [];
  const [state] = fields;
  const startTicks = fields[19];
  const threads = Number(fields[17]);
  const isOver = state === 'X' || (state === 'Z' && threads <= 1);
  if (isOver || startTicks === undefined) return null;
  return { pid, startTicks };
}

/** USER_HZ, in which the kernel tells times: 100 on today's architectures (time(7)). */
const TICKS_PER_SECOND = 100;

/** Seconds of processor time that a process has had (fields 14 and 15); null when it is gone. */
export function cpuSecondsOf(process: ProcessIdentity): number | null {
  const fields = isAlive(process) ? statOf(process.pid) : null;
  return fields === null ? null : (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Bytes of the host's memory that a process has (VmRSS of proc_pid_status(5)); null when it is gone. */
export function memoryOf(process: ProcessIdentity): number | null {
  if (!isAlive(process)) return null;
  try {
    const status = readFileSync(`/proc/${process.pid}/status`, 'latin1');
    const kib = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
    return kib === undefined ? null : Number(kib) * 1024;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return null;
    throw error;
  }
}

/** The fields of proc_pid_stat(5) from the third on; null when there is no such process. */
function statOf(pid: number): string[] | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ESRCH')) return null;
    throw error;
  }
  // The second field is the program's name in parentheses and may hold anything.
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

export function isAlive(process: ProcessIdentity): boolean {
  return identify(process.pid)?.startTicks === process.startTicks;
}

/** Kills exactly that process; a successor with the same id is left alone. Gone is success. */
export function killProcess(process: ProcessIdentity, signal: NodeJS.Signals = 'SIGKILL'): void {
  if (!isAlive(process)) return;
  try {
    globalThis.process.kill(process.pid, signal);
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error;
  }
}

/**
 * Waits for a process that need not be our child; the kernel tells only
 * parents, so it is looked at again and again.
 * @param options.deadlineMs default: none
 * @param options.background do not keep this process alive for it
 * @returns whether it was gone before the deadline
 */
export async function waitUntilGone(
  process: ProcessIdentity,
  options: { deadlineMs?: number; everyMs?: number; background?: boolean } = {},
): Promise<boolean> {
  const { deadlineMs = Infinity, everyMs = 5, background = false } = options;
  const end = performance.now() + deadlineMs;
  while (isAlive(process)) {
    if (performance.now() > end) return false;
    await setTimeout(everyMs, undefined, { ref: !background });
  }
  return true;
}

/** Every process whose real user id `wanted` accepts. */
export function processesOfUsers(wanted: (uid: number) => boolean): ProcessIdentity[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    // The directory of a process is its effective user's (proc(5)); ours never differ.
    const owner = statSync(`/proc/${entry}`, { throwIfNoEntry: false })?.uid;
    const process = owner !== undefined && wanted(owner) ? identify(Number(entry)) : null;
    return process === null ? [] : [process];
  });
}
