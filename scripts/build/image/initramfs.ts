import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cached, hashOf, textsOf } from './cache.ts';
import { cpio } from './cpio.ts';

export const INITRAMFS_SOURCES = [
  'scripts/build/image/cpio.ts',
  'scripts/build/image/initramfs.ts',
];

/**
 * The initramfs: the kernel's modules and the agent as /init, uncompressed, for
 * unpacking costs an emulated CPU more than reading. The kernel takes several
 * archives one after the other (buffer-format.rst, as in cpio.ts).
 * @returns its directory in the cache
 */
export async function buildInitramfs(
  cache: string,
  kernelDirectory: string,
  agent: string,
): Promise<string> {
  const binary = readFileSync(agent);
  const hash = hashOf(textsOf(...INITRAMFS_SOURCES), basename(kernelDirectory), binary);
  return cached(cache, 'initramfs', hash, (directory) => {
    const modules = readFileSync(join(kernelDirectory, 'modules.cpio'));
    const init = cpio([{ name: 'init', mode: 0o755, content: binary }]);
    writeFileSync(join(directory, 'initramfs'), Buffer.concat([modules, init]));
    return Promise.resolve();
  });
}
