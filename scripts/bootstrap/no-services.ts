import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { isErrno } from '../../src/host/failure.ts';

const POLICY = '/usr/sbin/policy-rc.d';
const MARK = '# vmsan bootstrap, pid ';

/**
 * Runs `install` while no package may start a service (Debian's
 * `/usr/sbin/policy-rc.d`, see invoke-rc.d(8)). A policy that is already there
 * stays as it is, and decides; one that a killed bootstrap left is replaced.
 */
export async function withoutServices<T>(install: () => Promise<T>, policy = POLICY): Promise<T> {
  if (!place(policy)) return install();
  const undo = () => {
    rmSync(policy, { force: true });
  };
  // Also when a signal ends us: exit handlers run then only if somebody listens for it.
  const interrupted = () => process.exit(1);
  process.once('exit', undo);
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted).once('SIGHUP', interrupted);
  try {
    return await install();
  } finally {
    undo();
    process.off('exit', undo);
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted).off('SIGHUP', interrupted);
  }
}

/** @returns false when another policy is in place */
function place(policy: string): boolean {
  const temp = `${policy}.vmsan-${process.pid}`;
  writeFileSync(temp, `#!/bin/sh\n${MARK}${process.pid}\nexit 101\n`, { mode: 0o755 });
  try {
    for (;;) {
      try {
        // link(2) never replaces a file, unlike rename(2).
        linkSync(temp, policy);
        return true;
      } catch (error) {
        if (!isErrno(error, 'EEXIST')) throw error;
        if (!isStale(policy)) return false;
        rmSync(policy);
      }
    }
  } finally {
    rmSync(temp);
  }
}

/** True when `policy` is ours and the bootstrap that wrote it is gone. */
function isStale(policy: string): boolean {
  const line = readFileSync(policy, 'utf8').split('\n')[1] ?? '';
  if (!line.startsWith(MARK)) return false;
  try {
    process.kill(Number(line.slice(MARK.length)), 0);
    return false;
  } catch (error) {
    return isErrno(error, 'ESRCH');
  }
}
