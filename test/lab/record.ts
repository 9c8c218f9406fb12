import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../../src/host/failure.ts';
import { identify, isAlive, type ProcessIdentity } from '../../src/host/process.ts';
import { removeControlGroups } from './control-groups.ts';
import { LAB_PREFIX, LABS_DIR, labPaths, RECORD_FILE } from './paths.ts';

/** Who a lab belongs to, kept in its directory (0600). */
export interface LabRecord {
  /** The machine's boot it is of; processes have other ids in another. */
  boot: string;
  /** The process that is building it, or uses it. */
  owner: ProcessIdentity;
  /** Set once it is up. */
  host?: ProcessIdentity;
  internet?: ProcessIdentity;
  /** Directories of its control groups. */
  groups?: string[];
}

/**
 * Takes the name `name`: makes the lab's directory with its record, at once.
 * @throws Error when a lab of that name is there
 */
export function claim(name: string): void {
  const made = mkdtempSync(join(LABS_DIR, `.${LAB_PREFIX}`));
  try {
    writeRecord(made, {});
    renameSync(made, labPaths(name).dir);
  } catch (error) {
    rmSync(made, { recursive: true, force: true });
    if (!isErrno(error, 'ENOTEMPTY', 'EEXIST')) throw error;
    throw new Error(`lab ${name} is there already, or is being made by another process`, {
      cause: error,
    });
  }
}

/** Writes down that this process made the lab in `dir`, and what keeps it. */
export function writeRecord(
  dir: string,
  holders: Pick<LabRecord, 'host' | 'internet' | 'groups'>,
): void {
  const owner = identify(process.pid);
  if (owner === null) throw new Error('this process is not in /proc');
  const record: LabRecord = { boot: bootId(), owner, ...holders };
  const file = join(dir, RECORD_FILE);
  writeFileSync(`${file}.new`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** @returns the lab's record; undefined when there is no such lab */
export function readRecord(name: string): LabRecord | undefined {
  const { record } = labPaths(name);
  try {
    // Anyone may make a directory of that name where labs are; ours are our own.
    if (statSync(record).uid !== process.getuid?.()) return undefined;
    return JSON.parse(readFileSync(record, 'utf8')) as LabRecord;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** Removes what labs left whose processes are all gone: killed, or before a reboot. */
export function sweep(): void {
  for (const entry of readdirSync(LABS_DIR)) {
    if (!entry.startsWith(LAB_PREFIX)) continue;
    const name = entry.slice(LAB_PREFIX.length);
    const record = readRecord(name);
    if (record === undefined) continue;
    const { owner, host = owner, internet = owner } = record;
    const held = record.boot === bootId() && [owner, host, internet].some(isAlive);
    if (held) continue;
    if (record.boot === bootId()) removeControlGroups(record.groups);
    rmSync(labPaths(name).dir, { recursive: true, force: true });
  }
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
