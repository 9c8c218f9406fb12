import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { loadSettings } from '../../src/api/settings.ts';
import { locateImages, MANIFEST, type Images, type Manifest } from '../../src/image/images.ts';
import { useGo } from '../bootstrap/go.ts';
import { AGENT, buildAgent } from './agent.ts';
import { BASE_SOURCES, buildBase } from './image/base.ts';
import { hashOf, textsOf } from './image/cache.ts';
import { buildInitramfs, INITRAMFS_SOURCES } from './image/initramfs.ts';
import { buildKernel, KERNEL_SOURCES } from './image/kernel.ts';

export interface Report {
  /** A line that the user should read. */
  say(line: string): void;
  /** A line that only shows that something is happening. */
  progress(line: string): void;
}

/** True when the images are those of the present recipes and agent. Takes milliseconds. */
export async function imagesAreCurrent(): Promise<boolean> {
  if (!existsSync(AGENT)) return false;
  try {
    return (await locateImages()).inputs === hashOfInputs();
  } catch {
    return false;
  }
}

/**
 * Makes what is missing of the guest's images, in the cache of the settings, and
 * writes where they are to build/images.json. Needs the agent (`buildAgent`).
 * @throws Failure or CommandFailed that says what cannot be had
 */
export async function buildImages(report: Report): Promise<Images> {
  if (await imagesAreCurrent()) return locateImages();
  const inputs = hashOfInputs();
  const cache = join(loadSettings().cacheDir, 'images');
  const kernel = await buildKernel(cache, report.say);
  const initramfs = await buildInitramfs(cache, kernel, AGENT);
  const base = await buildBase(cache, report);
  const manifest: Manifest = {
    kernel: join(kernel, 'kernel'),
    initramfs: join(initramfs, 'initramfs'),
    base: join(base, 'base'),
    hash: hashOf(basename(kernel), basename(initramfs), basename(base)),
    inputs,
  };
  mkdirSync(dirname(MANIFEST), { recursive: true });
  const temp = `${MANIFEST}.${process.pid}`;
  writeFileSync(temp, `${JSON.stringify(manifest, null, 2)}\n`);
  renameSync(temp, MANIFEST);
  return manifest;
}

function hashOfInputs(): string {
  const texts = textsOf(...KERNEL_SOURCES, ...INITRAMFS_SOURCES, ...BASE_SOURCES);
  return hashOf(texts, loadSettings().cacheDir, readFileSync(AGENT));
}

if (import.meta.main) {
  const say = (line: string) => console.log(line);
  useGo();
  await buildAgent();
  const { hash } = await buildImages({ say, progress: () => {} });
  console.log(`images ${hash}`);
}
