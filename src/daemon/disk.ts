import { chownSync, closeSync, ftruncateSync, openSync } from 'node:fs';
import { run } from '../host/run.ts';

/**
 * Makes a VM's own disk: a sparse file with an empty ext4, readable by its
 * QEMU alone. The initial zeroing of tables is left out: a new file is zeros.
 */
export async function makeDisk(path: string, bytes: number, uid: number): Promise<void> {
  const fd = openSync(path, 'wx', 0o600);
  try {
    ftruncateSync(fd, bytes);
  } finally {
    closeSync(fd);
  }
  const features = 'lazy_itable_init=1,lazy_journal_init=1,nodiscard';
  await run(['mkfs.ext4', '-q', '-F', '-m', '0', '-E', features, path]);
  chownSync(path, uid, uid);
}
