import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
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

/** The files under an absolute path, relative to it; none when it is not there. */
export function filesUnder(root: string): string[] {
  return globSync('**/*', { cwd: root }).filter((name) => statSync(`${root}/${name}`).isFile());
}

export function sameFile(a: string, b: string): boolean {
  return existsSync(a) && existsSync(b) && readFileSync(a).equals(readFileSync(b));
}
