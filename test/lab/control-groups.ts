import { readdirSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { controlGroupName } from '../../src/daemon/control-groups.ts';
import { hierarchiesHere } from '../../src/host/cgroup.ts';
import { isErrno } from '../../src/host/failure.ts';
import type { Machine } from './machine.ts';

/** Where the daemon of a lab's host would make its control groups, started from this process. */
export function controlGroupsOf(host: Machine): string[] {
  const name = controlGroupName(statSync(`/proc/${host.pid}/ns/net`).ino);
  return hierarchiesHere().map(({ base }) => join(base, name));
}

/** Removes what is left there of a lab that has ended: the groups are the machine's. Somebody else may do so too. */
export function removeControlGroups(directories: readonly string[] = []): void {
  for (const directory of directories) {
    unlessGone(() => {
      for (const entry of readdirSync(directory, { withFileTypes: true })) {
        if (entry.isDirectory()) unlessGone(() => rmdirSync(join(directory, entry.name)));
      }
      rmdirSync(directory);
    });
  }
}

function unlessGone(act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}
