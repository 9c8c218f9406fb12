import { unpack } from './unpack.ts';

/**
 * The layout of a bzImage (Linux, arch/x86/boot.rst, "The Real-Mode Kernel
 * Header"):
 *
 *     0x1f1  setup_sects     1 byte; 0 means 4
 *     0x202  "HdrS"          at 0x202, 4 bytes
 *     0x248  payload_offset  4 bytes, from the protected-mode code on
 *     0x24c  payload_length  4 bytes
 *
 * The payload is the compressed ELF kernel. All but gzip's is followed by the
 * unpacked size in 4 bytes (scripts/Makefile.lib, size_append).
 */
const SECTOR = 512;
const SIZE_BYTES = 4;
const GZIP = 0x8b1f;
const ELF = 0x464c457f;

/**
 * The ELF kernel inside a bzImage. QEMU enters it directly (PVH) and the guest
 * does not have to unpack itself, which is slow under emulation. A kernel of
 * another architecture is given back as it is.
 * @throws Error when it is a bzImage whose payload is no ELF file
 */
export async function vmlinuxOf(image: Buffer): Promise<Buffer> {
  if (image.toString('latin1', 0x202, 0x206) !== 'HdrS') return image;
  const setupSectors = image.readUInt8(0x1f1) || 4;
  const start = (setupSectors + 1) * SECTOR + image.readUInt32LE(0x248);
  const payload = image.subarray(start, start + image.readUInt32LE(0x24c));
  const packed = payload.readUInt16LE(0) === GZIP ? payload : payload.subarray(0, -SIZE_BYTES);
  const kernel = await unpack(packed);
  if (kernel.readUInt32LE(0) !== ELF) throw new Error('the kernel’s payload is no ELF file');
  return kernel;
}
