import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../host/failure.ts';
import type { ProcessIdentity } from '../host/process.ts';
import type { Bandwidth } from '../policy/bandwidth.ts';
import type { Policy } from '../policy/policy.ts';
import type { PublishedPort } from '../policy/published-ports.ts';
import { MIGRATIONS } from './migrations.ts';
import { Reserve } from './reserve.ts';

/**
 * What vmsan knows of its VMs, in SQLite. vmsand is the only writer. The
 * schema's version is in `user_version`; migrations only go forward.
 */

export type VmState = 'creating' | 'starting' | 'running' | 'stopping' | 'stopped' | 'removing';

export interface VmRecord {
  id: string;
  name: string;
  state: VmState;
  slot: number;
  vcpus: number;
  memoryMib: number;
  diskBytes: number;
  policy: Policy;
  /** Counts the policies and sets of published ports this VM has had, from 1. */
  generation: number;
  bandwidth: Bandwidth;
  ports: readonly PublishedPort[];
  accelerator: 'kvm' | 'tcg';
  createdAtMs: number;
  /** When it runs as the host goes down, it is started again after the reboot. */
  autostart: boolean;
  /** It has a network namespace of its own; otherwise its rules are in the host's. */
  netns: boolean;
  /** Its QEMU; null when none runs. */
  process: ProcessIdentity | null;
}

export class Store {
  readonly #db: DatabaseSync;
  readonly #directory: string;
  readonly #reserve: Reserve;

  /** Opens the database in `stateDir`, making or migrating it. */
  constructor(stateDir: string) {
    // 0711: each VM's QEMU, under its own uid, passes through to its own directory.
    mkdirSync(stateDir, { recursive: true, mode: 0o711 });
    const file = join(stateDir, 'vmsan.db');
    this.#directory = stateDir;
    this.#reserve = new Reserve(stateDir);
    this.#db = new DatabaseSync(file);
    chmodSync(file, 0o600);
    this.#withRoom(() =>
      this.#db.exec(
        'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON',
      ),
    );
    this.#migrate(file);
  }

  close(): void {
    this.#db.close();
  }

  #write(sql: string, ...values: (SQLInputValue | Record<string, SQLInputValue>)[]): void {
    this.#withRoom(() => this.#db.prepare(sql).run(...(values as SQLInputValue[])));
  }

  /** Does it; on a full disk, with the room that is laid aside for that. */
  #withRoom<T>(action: () => T): T {
    let done: T;
    try {
      done = action();
    } catch (error) {
      if (!isFull(error)) throw error;
      this.#reserve.release();
      try {
        done = action();
      } catch (again) {
        if (!isFull(again)) throw again;
        throw new Failure('exhausted', `no space is left in ${this.#directory}`, { cause: again });
      }
    }
    this.#reserve.keep();
    return done;
  }

  vms(): VmRecord[] {
    const rows = this.#db.prepare('SELECT * FROM vms ORDER BY created_at_ms, id').all();
    return (rows as unknown as VmRow[]).map(fromRow);
  }

  addVm(vm: VmRecord): void {
    this.#write(
      `INSERT INTO vms VALUES (:id, :name, :state, :slot, :vcpus, :memory_mib, :disk_bytes,
           :policy, :generation, :accelerator, :created_at_ms, :pid, :start_ticks,
           :autostart, :netns, :bandwidth_out, :bandwidth_in, :ports)`,
      toRow(vm),
    );
  }

  updateVm(vm: VmRecord): void {
    const { id, state, policy, generation, accelerator, pid, start_ticks, ...more } = toRow(vm);
    const { bandwidth_out, bandwidth_in, ports } = more;
    this.#write(
      `UPDATE vms SET state = :state, policy = :policy, generation = :generation,
           accelerator = :accelerator, pid = :pid, start_ticks = :start_ticks,
           bandwidth_out = :bandwidth_out, bandwidth_in = :bandwidth_in,
           ports = :ports WHERE id = :id`,
      {
        ...{ id, state, policy, generation, accelerator, pid, start_ticks },
        ...{ bandwidth_out, bandwidth_in, ports },
      },
    );
  }

  removeVm(id: string): void {
    this.#write('DELETE FROM vms WHERE id = ?', id);
  }

  lentSysctls(): { path: string; before: string }[] {
    const rows = this.#db.prepare('SELECT path, before FROM lent_sysctls').all();
    return rows as { path: string; before: string }[];
  }

  addLentSysctl(path: string, before: string): void {
    this.#write('INSERT OR IGNORE INTO lent_sysctls VALUES (?, ?)', path, before);
  }

  clearLentSysctls(): void {
    this.#write('DELETE FROM lent_sysctls');
  }

  /** A remembered finding, such as whether KVM works here; undefined when there is none. */
  fact(name: string): string | undefined {
    const row = this.#db.prepare('SELECT value FROM facts WHERE name = ?').get(name);
    return row === undefined ? undefined : String(row['value']);
  }

  setFact(name: string, value: string): void {
    this.#write('INSERT OR REPLACE INTO facts VALUES (?, ?)', name, value);
  }

  removeFact(name: string): void {
    this.#write('DELETE FROM facts WHERE name = ?', name);
  }

  #migrate(file: string): void {
    const row = this.#db.prepare('PRAGMA user_version').get();
    const version = Number(row?.['user_version']);
    if (version > MIGRATIONS.length) {
      throw new Failure('conflict', `${file} was written by a newer vmsan (schema ${version})`, {
        hint: 'run that version, or point VMSAN_STATE_DIR at another directory',
      });
    }
    for (const [index, sql] of MIGRATIONS.entries()) {
      if (index < version) continue;
      this.#db.exec(`BEGIN; ${sql}; PRAGMA user_version = ${index + 1}; COMMIT`);
    }
  }
}

/** sqlite.org/rescode.html: SQLITE_FULL, and SQLITE_IOERR_SHMSIZE of a log that cannot be begun. */
function isFull(error: unknown): boolean {
  const { errcode } = error as { errcode?: number };
  return errcode === 13 || errcode === 4874;
}

interface VmRow {
  id: string;
  name: string;
  state: string;
  slot: number;
  vcpus: number;
  memory_mib: number;
  disk_bytes: number;
  policy: string;
  generation: number;
  accelerator: string;
  created_at_ms: number;
  pid: number | null;
  start_ticks: string | null;
  /** 0 or 1. */
  autostart: number;
  /** 0 or 1. */
  netns: number;
  bandwidth_out: number | null;
  bandwidth_in: number | null;
  ports: string;
}

function toRow(vm: VmRecord) {
  return {
    id: vm.id,
    name: vm.name,
    state: vm.state,
    slot: vm.slot,
    vcpus: vm.vcpus,
    memory_mib: vm.memoryMib,
    disk_bytes: vm.diskBytes,
    policy: JSON.stringify(vm.policy),
    generation: vm.generation,
    accelerator: vm.accelerator,
    created_at_ms: vm.createdAtMs,
    pid: vm.process?.pid ?? null,
    start_ticks: vm.process?.startTicks ?? null,
    autostart: vm.autostart ? 1 : 0,
    netns: vm.netns ? 1 : 0,
    bandwidth_out: vm.bandwidth.out,
    bandwidth_in: vm.bandwidth.in,
    ports: JSON.stringify(vm.ports),
  } satisfies VmRow;
}

function fromRow(row: VmRow): VmRecord {
  return {
    id: row.id,
    name: row.name,
    state: row.state as VmState,
    slot: row.slot,
    vcpus: row.vcpus,
    memoryMib: row.memory_mib,
    diskBytes: row.disk_bytes,
    policy: JSON.parse(row.policy) as Policy,
    generation: row.generation,
    bandwidth: { out: row.bandwidth_out, in: row.bandwidth_in },
    ports: JSON.parse(row.ports) as PublishedPort[],
    accelerator: row.accelerator as VmRecord['accelerator'],
    createdAtMs: row.created_at_ms,
    autostart: row.autostart === 1,
    netns: row.netns === 1,
    process:
      row.pid === null || row.start_ticks === null
        ? null
        : { pid: row.pid, startTicks: row.start_ticks },
  };
}
