import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/**
 * Kernel settings by their path below /proc/sys, in the calling thread's
 * network namespace (Documentation/admin-guide/sysctl/net.rst).
 */

export function readSysctl(path: string): string {
  return readFileSync(`/proc/sys/${path}`, 'utf8').trim();
}

export function writeSysctl(path: string, value: string): void {
  writeFileSync(`/proc/sys/${path}`, value);
}

/** Whether a link of that name is in the calling thread's network namespace. */
export function linkExists(name: string): boolean {
  return existsSync(`/proc/sys/net/ipv4/conf/${name}`);
}
