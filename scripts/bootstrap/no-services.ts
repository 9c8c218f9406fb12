import { existsSync, linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { Failure, isErrno } from '../../src/host/failure.ts';

const MARK = '# vmsan bootstrap, pid ';
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface PolicyOptions {
  path?: string;
  /** Milliseconds that another bootstrap of this machine may take. */
  deadlineMs?: number;
}

/**
 * Runs `install` while no package may start a service (Debian's
 * `/usr/sbin/policy-rc.d`, see invoke-rc.d(8)). A policy of somebody else stays
 * as it is, and decides; one that a killed bootstrap left is replaced; for a
 * bootstrap that lives it waits.
 */
export async function withoutServices<T>(
  install: () => Promise<T>,
  { path = '/usr/sbin/policy-rc.d', deadlineMs = 600_000 }: PolicyOptions = {},
): Promise<T> {
  if (!(await place(path, deadlineMs))) return install();
  const undo = () => {
    rmSync(path, { force: true });
  };
  // A signal runs exit handlers only where somebody listens for it.
  const interrupted = () => process.exit(1);
  process.once('exit', undo);
  for (const signal of SIGNALS) process.once(signal, interrupted);
  try {
    return await install();
  } finally {
    undo();
    process.off('exit', undo);
    for (const signal of SIGNALS) process.off(signal, interrupted);
  }
}

/** @returns false when a policy of somebody else is in place */
async function place(path: string, deadlineMs: number): Promise<boolean> {
  const temp = `${path}.vmsan-${process.pid}`;
  writeFileSync(temp, `#!/bin/sh\n${MARK}${process.pid}\nexit 101\n`, { mode: 0o755 });
  const end = performance.now() + deadlineMs;
  try {
    for (;;) {
      try {
        // link(2) never replaces a file, unlike rename(2).
        linkSync(temp, path);
        return true;
      } catch (error) {
        if (!isErrno(error, 'EEXIST')) throw error;
      }
      const owner = ownerOf(path);
      if (owner === 'somebody else') return false;
      if (owner === 'a killed bootstrap') rmSync(path, { force: true });
      else if (performance.now() < end) await pause(200);
      else throw new Failure('timeout', `another bootstrap still installs packages (${path})`);
    }
  } finally {
    rmSync(temp);
  }
}

function ownerOf(path: string): 'a bootstrap' | 'a killed bootstrap' | 'somebody else' {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return 'a killed bootstrap';
    throw error;
  }
  const pid = new RegExp(`^${MARK}(\\d+)$`, 'm').exec(text)?.[1];
  if (pid === undefined) return 'somebody else';
  return existsSync(`/proc/${pid}`) ? 'a bootstrap' : 'a killed bootstrap';
}
