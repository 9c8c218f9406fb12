import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../../src/host/run.ts';
import { ARCHITECTURE, concreteOf, download } from './apt.ts';
import { cached, hashOf, recipe, textsOf } from './cache.ts';
import { cpio } from './cpio.ts';
import { modulesInOrder } from './modules.ts';
import { vmlinuxOf } from './vmlinux.ts';

/** What the kernel's image is made from, besides the package. */
export const KERNEL_SOURCES = [
  'images/kernel.json',
  'images/initramfs.json',
  'scripts/build/image/cpio.ts',
  'scripts/build/image/kernel.ts',
  'scripts/build/image/modules.ts',
  'scripts/build/image/unpack.ts',
  'scripts/build/image/vmlinux.ts',
];

const UNPACK_DEADLINE_MS = 120_000;

/**
 * The kernel and the modules of the newest package of the recipe:
 *
 *     kernel         the ELF kernel (x86) or the image (arm64)
 *     modules.cpio   /modules/*.ko and /modules/order, for the initramfs
 *
 * @returns their directory in the cache
 */
export async function buildKernel(cache: string, say: (line: string) => void): Promise<string> {
  const metapackage = recipe<{ packages: Record<string, string> }>('kernel').packages[ARCHITECTURE];
  if (metapackage === undefined) throw new Error(`images/kernel.json has no ${ARCHITECTURE}`);
  const found = await concreteOf(metapackage);
  const hash = hashOf(textsOf(...KERNEL_SOURCES), found.name, found.version);
  return cached(cache, 'kernel', hash, async (directory) => {
    say(`guest kernel: ${found.name} ${found.version}`);
    const temp = mkdtempSync(join(tmpdir(), 'vmsan-kernel-'));
    try {
      await download(found, temp);
      const [archive] = globSync('*.deb', { cwd: temp });
      const root = join(temp, 'root');
      mkdirSync(root);
      await run(['dpkg-deb', '-x', join(temp, archive!), root], { timeoutMs: UNPACK_DEADLINE_MS });
      const [image] = globSync('boot/vmlinu[xz]-*', { cwd: root });
      const [release] = globSync('{,usr/}lib/modules/*', { cwd: root });
      writeFileSync(join(directory, 'kernel'), await vmlinuxOf(readFileSync(join(root, image!))));
      writeFileSync(join(directory, 'modules.cpio'), await packModules(join(root, release!)));
    } finally {
      rmSync(temp, { recursive: true, force: true });
    }
  });
}

async function packModules(directory: string): Promise<Buffer> {
  const { modules: wanted } = recipe<{ modules: string[] }>('initramfs');
  const modules = await modulesInOrder(directory, wanted);
  const order = modules.map(({ file }) => `${file}\n`).join('');
  return cpio([
    { name: 'modules', mode: 0o755 },
    { name: 'modules/order', mode: 0o644, content: Buffer.from(order) },
    ...modules.map(({ file, content }) => ({ name: `modules/${file}`, mode: 0o644, content })),
  ]);
}
