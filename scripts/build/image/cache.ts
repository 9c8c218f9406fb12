import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync } from 'node:fs';
import { readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../../../src/host/failure.ts';
import { inTree } from '../../tree.ts';

/** What an unfinished entry is called; one of a day ago was left by a build that was killed. */
const UNFINISHED = '.new-';
const STALE_MS = 24 * 60 * 60 * 1000;

/**
 * The directory `<cache>/<kind>-<hash>`, made by `make` if it is not there yet.
 * Builders in other processes may make the same: each fills a directory of its
 * own, and the first that is complete takes the name.
 * @returns its absolute path
 */
export async function cached(
  cache: string,
  kind: string,
  hash: string,
  make: (directory: string) => Promise<void>,
): Promise<string> {
  const home = join(cache, `${kind}-${hash}`);
  if (existsSync(home)) return home;
  mkdirSync(cache, { recursive: true });
  // Each VM's QEMU runs as a user of its own and opens the images by their path.
  chmodSync(cache, 0o755);
  removeStale(cache);
  const temp = mkdtempSync(join(cache, UNFINISHED));
  try {
    await make(temp);
    for (const name of readdirSync(temp)) chmodSync(join(temp, name), 0o644);
    chmodSync(temp, 0o755);
    try {
      renameSync(temp, home);
    } catch (error) {
      // Another builder was faster.
      if (!isErrno(error, 'ENOTEMPTY', 'EEXIST')) throw error;
    }
  } finally {
    rmSync(temp, { recursive: true, force: true });
  }
  return home;
}

function removeStale(cache: string): void {
  for (const name of readdirSync(cache)) {
    if (!name.startsWith(UNFINISHED)) continue;
    const path = join(cache, name);
    const made = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
    if (Date.now() - made > STALE_MS) rmSync(path, { recursive: true, force: true });
  }
}

/** 16 hex digits over `parts`; their boundaries count. */
export function hashOf(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part.length}\0`).update(part);
  return hash.digest('hex').slice(0, 16);
}

/** The text of files of the tree: recipes, and the builders that read them. */
export function textsOf(...files: string[]): string {
  return files.map((file) => `${file}\n${readFileSync(inTree(file), 'utf8')}`).join('\n');
}

/** A recipe of images/. */
export function recipe<T>(name: string): T {
  return JSON.parse(readFileSync(inTree(`images/${name}.json`), 'utf8')) as T;
}
