import { access, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { Failure } from '../host/failure.ts';

/** What a guest boots from. All of it is read-only and shared by all guests. */
export interface Images {
  /** Absolute paths. */
  kernel: string;
  initramfs: string;
  base: string;
  /** Names this combination: 16 hex digits. */
  hash: string;
}

/**
 * The build of a tree writes where its images are: the images themselves lie in
 * a cache that several trees share. From sources this module is in src/image,
 * bundled in build/<directory>: the manifest is two above both.
 */
export const MANIFEST = fileURLToPath(new URL('../../build/images.json', import.meta.url));

const schema = v.object({
  kernel: v.string(),
  initramfs: v.string(),
  base: v.string(),
  hash: v.string(),
  inputs: v.string(),
});

/** build/images.json: the images of this tree, and the hash of what they were made from. */
export type Manifest = v.InferOutput<typeof schema>;

/**
 * Finds the images that this tree's build made.
 * @throws Failure `unavailable` when they have not been built, or are gone
 */
export async function locateImages(manifest = MANIFEST): Promise<Manifest> {
  try {
    const images = v.parse(schema, JSON.parse(await readFile(manifest, 'utf8')));
    await Promise.all([images.kernel, images.initramfs, images.base].map((path) => access(path)));
    return images;
  } catch (cause) {
    throw new Failure('unavailable', 'the guest’s images have not been built', {
      hint: 'npm run bootstrap',
      cause,
    });
  }
}
