import { globSync, readFileSync, statSync } from 'node:fs';
import { inTree } from '../tree.ts';

/** Not ours to check: what others wrote, and what is made. */
const ELSEWHERE = new Set(['.git', 'node_modules', 'build']);

/** The files of the tree that match, as paths in it. */
export function filesOfTree(glob: string): string[] {
  return globSync(glob, {
    cwd: inTree('.'),
    exclude: (path) => ELSEWHERE.has(path),
  })
    .filter((path) => statSync(inTree(path)).isFile())
    .toSorted();
}

export function textOf(path: string): string {
  return readFileSync(inTree(path), 'utf8');
}
