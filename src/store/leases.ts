import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** An address that a name holds for a VM. */
export interface LeaseRecord {
  name: string;
  address: string;
  /** Milliseconds since 1970. */
  expiresAtMs: number;
}

/**
 * What names hold, for the next daemon. Written at each new lookup, so nothing
 * waits for the disk: what a power failure takes is looked up again.
 */
export class LeaseStore {
  readonly #db: DatabaseSync;
  readonly #write: StatementSync;
  readonly #strike: StatementSync;

  /** Opens the database in `stateDir`, making it when there is none. */
  constructor(stateDir: string) {
    mkdirSync(stateDir, { recursive: true, mode: 0o711 });
    const file = join(stateDir, 'leases.db');
    this.#db = new DatabaseSync(file);
    chmodSync(file, 0o600);
    this.#db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
      CREATE TABLE IF NOT EXISTS leases (
        vm TEXT NOT NULL,
        name TEXT NOT NULL,
        address TEXT NOT NULL,
        expires_at_ms INTEGER NOT NULL,
        PRIMARY KEY (vm, name, address)
      ) STRICT, WITHOUT ROWID`);
    this.#write = this.#db.prepare('INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?)');
    this.#strike = this.#db.prepare('DELETE FROM leases WHERE vm = ? AND name = ? AND address = ?');
  }

  close(): void {
    this.#db.close();
  }

  /** What a VM's names held, whether it is over or not; who holds the longest last. */
  of(vm: string): LeaseRecord[] {
    return this.#db
      .prepare(
        `SELECT name, address, expires_at_ms AS expiresAtMs FROM leases WHERE vm = ?
         ORDER BY expires_at_ms`,
      )
      .all(vm)
      .map((row) => ({ ...row })) as unknown as LeaseRecord[];
  }

  /** Writes down and strikes out, as one. */
  change(vm: string, held: readonly LeaseRecord[], gone: readonly LeaseRecord[]): void {
    if (held.length + gone.length === 0) return;
    this.#db.exec('BEGIN');
    try {
      for (const { name, address } of gone) this.#strike.run(vm, name, address);
      for (const { name, address, expiresAtMs } of held) {
        this.#write.run(vm, name, address, expiresAtMs);
      }
      this.#db.exec('COMMIT');
    } catch (error) {
      this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  /** Strikes out all that a VM's names held. */
  forget(vm: string): void {
    this.#db.prepare('DELETE FROM leases WHERE vm = ?').run(vm);
  }
}
