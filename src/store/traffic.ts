import { chmodSync, mkdirSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** A decision about something that a VM asked for, and how many like it there were. */
export interface Decided {
  kind: string;
  what: string;
  verdict: string;
  rule: string;
  reason: string;
  address: string;
  port: number;
  /** Milliseconds since 1970. */
  firstAtMs: number;
  lastAtMs: number;
  count: number;
}

/** What there is to write down of one VM. */
export interface TrafficChange {
  entries: readonly Decided[];
  /** Decisions that are counted only. */
  leftOut: number;
  /** What was last read of its counters in the kernel, as its reader wants it back. */
  read?: string | undefined;
}

/** Kinds of decisions that are kept; of each the number and the first and last time. */
export const TRAFFIC_LIMITS = { perVm: 1000, total: 20_000 } as const;

/** A row is below 2 KiB: the total fits well into this. */
const MAX_PAGES = 16_384;
/** What must be free on the disk: vmsan needs it for better things. */
const SPARE_BYTES = 64 * 1024 * 1024;

const KEY = 'vm, kind, what, verdict, rule, reason, address, port';

/**
 * What was decided of what VMs asked for, in a database of its own: nothing
 * depends on it, and it is never waited for. Oldest out, per VM and in all.
 */
export class TrafficStore {
  readonly #db: DatabaseSync;
  /** Null when it is in memory alone. */
  readonly #directory: string | null;
  readonly #limits: { perVm: number; total: number };

  /** Opens the database in `stateDir`; in memory, when there is no writing there. */
  constructor(stateDir: string, limits: { perVm: number; total: number } = TRAFFIC_LIMITS) {
    this.#limits = limits;
    const onDisk = openOnDisk(stateDir);
    this.#directory = onDisk === null ? null : stateDir;
    this.#db = onDisk ?? prepared(new DatabaseSync(':memory:'));
  }

  close(): void {
    this.#db.close();
  }

  /**
   * Whether there is room to write. Below it nothing should be written down:
   * who asks keeps what there is, or counts it as left out.
   */
  hasRoom(): boolean {
    if (this.#directory === null) return true;
    const { bavail, bsize } = statfsSync(this.#directory);
    return bavail * bsize >= SPARE_BYTES;
  }

  /** Writes down what was decided for several VMs, as one. @throws when the disk is full; nothing was written then */
  change(changes: ReadonlyMap<string, TrafficChange>): void {
    if (changes.size === 0) return;
    this.#db.exec('BEGIN');
    try {
      for (const [vm, change] of changes) this.#write(vm, change);
      for (const vm of changes.keys()) this.#bound(vm);
      this.#boundAll();
      this.#db.exec('COMMIT');
    } catch (error) {
      this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  /**
   * What was decided for a VM, by the time of the last, newest last.
   * @param sinceMs milliseconds since 1970
   */
  of(vm: string, { sinceMs = 0, denied = false } = {}): Decided[] {
    return this.#db
      .prepare(
        `SELECT kind, what, verdict, rule, reason, address, port,
           first_at_ms AS firstAtMs, last_at_ms AS lastAtMs, count
         FROM decisions WHERE vm = ? AND last_at_ms >= ? AND (verdict = 'deny' OR NOT ?)
         ORDER BY last_at_ms, kind, what`,
      )
      .all(vm, sinceMs, denied ? 1 : 0)
      .map((row) => ({ ...row })) as unknown as Decided[];
  }

  /** How many decisions of a VM are not listed. */
  leftOut(vm: string): number {
    return Number(
      this.#db.prepare('SELECT left_out AS n FROM vms WHERE vm = ?').get(vm)?.['n'] ?? 0,
    );
  }

  /** What `change` was last given as `read` for a VM. */
  read(vm: string): string | null {
    const row = this.#db.prepare('SELECT read AS text FROM vms WHERE vm = ?').get(vm);
    return row === undefined ? null : String(row['text']);
  }

  /** Strikes out all that is known of a VM. */
  forget(vm: string): void {
    this.#db.prepare('DELETE FROM decisions WHERE vm = ?').run(vm);
    this.#db.prepare('DELETE FROM vms WHERE vm = ?').run(vm);
  }

  /** Strikes out what is known of VMs that are no more. */
  keepOnly(vms: readonly string[]): void {
    const known = JSON.stringify(vms);
    for (const table of ['decisions', 'vms']) {
      this.#db
        .prepare(`DELETE FROM ${table} WHERE vm NOT IN (SELECT value FROM json_each(?))`)
        .run(known);
    }
  }

  #write(vm: string, { entries, leftOut, read }: TrafficChange): void {
    const add = this.#db.prepare(
      `INSERT INTO decisions (${KEY}, first_at_ms, last_at_ms, count)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (${KEY}) DO UPDATE SET
         last_at_ms = max(last_at_ms, excluded.last_at_ms), count = count + excluded.count`,
    );
    for (const each of entries) {
      const { kind, what, verdict, rule, reason, address, port } = each;
      const { firstAtMs, lastAtMs, count } = each;
      add.run(vm, kind, what, verdict, rule, reason, address, port, firstAtMs, lastAtMs, count);
    }
    this.#leaveOut(vm, leftOut);
    if (read !== undefined) this.#db.prepare('UPDATE vms SET read = ? WHERE vm = ?').run(read, vm);
  }

  #leaveOut(vm: string, count: number): void {
    this.#db
      .prepare(
        `INSERT INTO vms (vm, left_out) VALUES (?, ?)
         ON CONFLICT (vm) DO UPDATE SET left_out = left_out + excluded.left_out`,
      )
      .run(vm, count);
  }

  #bound(vm: string): void {
    const over = this.#count('WHERE vm = ?', vm) - this.#limits.perVm;
    if (over <= 0) return;
    const gone = this.#db
      .prepare(
        `DELETE FROM decisions WHERE (${KEY}) IN (
           SELECT ${KEY} FROM decisions WHERE vm = ? ORDER BY last_at_ms LIMIT ?)
         RETURNING count`,
      )
      .all(vm, over);
    this.#leaveOut(
      vm,
      gone.reduce((sum, { count }) => sum + Number(count), 0),
    );
  }

  #boundAll(): void {
    const over = this.#count('') - this.#limits.total;
    if (over <= 0) return;
    const gone = this.#db
      .prepare(
        `DELETE FROM decisions WHERE (${KEY}) IN (
           SELECT ${KEY} FROM decisions ORDER BY last_at_ms LIMIT ?)
         RETURNING vm, count`,
      )
      .all(over);
    for (const { vm, count } of gone) this.#leaveOut(String(vm), Number(count));
  }

  #count(where: string, ...values: string[]): number {
    const row = this.#db.prepare(`SELECT count(*) AS n FROM decisions ${where}`).get(...values);
    return Number(row?.['n']);
  }
}

/** Nobody's VM stops for this: a file that cannot be used is made anew, or done without. */
function openOnDisk(stateDir: string): DatabaseSync | null {
  const file = join(stateDir, 'traffic.db');
  for (const anew of [false, true]) {
    try {
      mkdirSync(stateDir, { recursive: true, mode: 0o711 });
      if (anew) for (const end of ['', '-wal', '-shm']) rmSync(file + end, { force: true });
      const db = new DatabaseSync(file);
      chmodSync(file, 0o600);
      return prepared(db);
    } catch {
      // Tried anew, and then done without.
    }
  }
  return null;
}

function prepared(db: DatabaseSync): DatabaseSync {
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
    PRAGMA journal_size_limit = 4194304; PRAGMA max_page_count = ${MAX_PAGES};
    CREATE TABLE IF NOT EXISTS decisions (
      vm TEXT NOT NULL, kind TEXT NOT NULL, what TEXT NOT NULL, verdict TEXT NOT NULL,
      rule TEXT NOT NULL, reason TEXT NOT NULL, address TEXT NOT NULL, port INTEGER NOT NULL,
      first_at_ms INTEGER NOT NULL, last_at_ms INTEGER NOT NULL, count INTEGER NOT NULL,
      PRIMARY KEY (${KEY})
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS by_vm_and_time ON decisions (vm, last_at_ms);
    CREATE INDEX IF NOT EXISTS by_time ON decisions (last_at_ms);
    CREATE TABLE IF NOT EXISTS vms (
      vm TEXT PRIMARY KEY, left_out INTEGER NOT NULL, read TEXT NOT NULL DEFAULT ''
    ) STRICT`);
  return db;
}
