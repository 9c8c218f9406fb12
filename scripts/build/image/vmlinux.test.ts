import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { vmlinuxOf } from './vmlinux.ts';

const elf = Buffer.concat([Buffer.from('\x7fELF'), Buffer.alloc(5000, 'kernel')]);

/** A bzImage with two sectors of set-up code, and `payload` 64 bytes into what follows. */
function bzImage(payload: Buffer): Buffer {
  const start = 3 * 512 + 64;
  const image = Buffer.alloc(start + payload.length + 32);
  image.writeUInt8(2, 0x1f1);
  image.write('HdrS', 0x202);
  image.writeUInt32LE(64, 0x248);
  image.writeUInt32LE(payload.length, 0x24c);
  payload.copy(image, start);
  return image;
}

test('the ELF kernel comes out of a bzImage', async () => {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(elf.length);
  assert.deepEqual(await vmlinuxOf(bzImage(gzipSync(elf))), elf);
  assert.deepEqual(await vmlinuxOf(bzImage(Buffer.concat([zstdCompressSync(elf), size]))), elf);
});

test('an image of another kind stays as it is', async () => {
  const image = Buffer.alloc(2000, 'arm64');
  assert.equal(await vmlinuxOf(image), image);
});

test('a payload that is no kernel is refused', async () => {
  await assert.rejects(vmlinuxOf(bzImage(gzipSync(Buffer.alloc(100)))), /no ELF file/);
});
