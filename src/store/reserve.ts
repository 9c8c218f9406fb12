import { randomBytes } from 'node:crypto';
import { existsSync, renameSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../host/failure.ts';

/** Enough for the database's log to grow to where SQLite begins it anew (1000 pages), twice. */
const BYTES = 8 * 1024 * 1024;
/** What must be free beside it before it is laid aside again. */
const SPARE_BYTES = 4 * BYTES;

/**
 * Room on the disk that is ours already: a file that is removed when records
 * have to be written and the disk is full, and made again when it is not.
 */
export class Reserve {
  readonly #directory: string;
  readonly #file: string;

  constructor(directory: string) {
    this.#directory = directory;
    this.#file = join(directory, 'reserve');
  }

  /** Lays it aside, unless that would fill the disk. */
  keep(): void {
    if (existsSync(this.#file)) return;
    const { bavail, bsize } = statfsSync(this.#directory);
    if (bavail * bsize < BYTES + SPARE_BYTES) return;
    const unfinished = `${this.#file}.new`;
    try {
      // Bytes that no file system stores as fewer.
      writeFileSync(unfinished, randomBytes(BYTES), { mode: 0o600 });
      renameSync(unfinished, this.#file);
    } catch (error) {
      rmSync(unfinished, { force: true });
      if (!isErrno(error, 'ENOSPC', 'EDQUOT')) throw error;
    }
  }

  /** @returns whether there was anything to give */
  release(): boolean {
    if (!existsSync(this.#file)) return false;
    rmSync(this.#file);
    return true;
  }
}
