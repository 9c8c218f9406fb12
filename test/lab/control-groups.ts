import { existsSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { controlGroupName } from '../../src/daemon/control-groups.ts';
import { hierarchiesHere } from '../../src/host/cgroup.ts';

/** Removes what the daemon of a lab that has ended left of control groups: they are the machine's. */
export function removeControlGroups(netnsInode: number | undefined): void {
  if (netnsInode === undefined) return;
  for (const { base } of hierarchiesHere()) {
    const parent = join(base, controlGroupName(netnsInode));
    if (!existsSync(parent)) continue;
    for (const entry of readdirSync(parent, { withFileTypes: true })) {
      if (entry.isDirectory()) rmdirSync(join(parent, entry.name));
    }
    rmdirSync(parent);
  }
}
