import { fileURLToPath } from 'node:url';

/** The absolute path of something in this source tree. */
export function inTree(path: string): string {
  return fileURLToPath(new URL(`../${path}`, import.meta.url));
}
