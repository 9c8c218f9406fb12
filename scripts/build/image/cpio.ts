/** A file of an archive, a directory when it has no content. */
export interface CpioEntry {
  name: string;
  mode: number;
  content?: Uint8Array;
}

const DIRECTORY = 0o040000;
const FILE = 0o100000;

/**
 * A cpio archive in the format of an initramfs, "newc" (Linux,
 * driver-api/early-userspace/buffer-format.rst): per entry the magic, thirteen
 * numbers of 8 hex digits, the name with a NUL, the content; name and content
 * padded to 4 bytes. All belongs to root, at the start of 1970.
 */
export function cpio(entries: readonly CpioEntry[]): Buffer {
  const all = [...entries, { name: 'TRAILER!!!', mode: 0, content: new Uint8Array() }];
  return Buffer.concat(all.flatMap((entry, index) => pieces(entry, index + 1)));
}

function pieces({ name, mode, content }: CpioEntry, inode: number): Uint8Array[] {
  const size = content?.length ?? 0;
  const type = name === 'TRAILER!!!' ? 0 : content === undefined ? DIRECTORY : FILE;
  // inode, mode, uid, gid, links, mtime, size, device (2), its node (2), name, checksum
  const numbers = [inode, type | mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name.length + 1, 0];
  const header = `070701${numbers.map((n) => n.toString(16).padStart(8, '0')).join('')}${name}\0`;
  return [padded(Buffer.from(header)), padded(content ?? new Uint8Array())].flat();
}

function padded(bytes: Uint8Array): [Uint8Array, Uint8Array] {
  return [bytes, new Uint8Array(-bytes.length & 3)];
}
