import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { CONTROLLERS, findHierarchies, type Controller, type Hierarchy } from './cgroup-mounts.ts';
import { isErrno, messageOf } from './failure.ts';

/** What the processes of a group may use together. */
export interface GroupLimits {
  /** Page cache and kernel memory included. */
  memoryBytes: number;
  /** Threads count each. */
  pids: number;
  /** Processors' worth of time; may be a fraction. */
  cpus: number;
}

/** A controller that cannot be had on this host. */
export interface MissingController {
  controller: Controller;
  reason: string;
}

/** How groups are made: the kernel's file system, or a test's. */
export interface GroupFiles {
  mkdir(path: string): void;
  rmdir(path: string): void;
  write(path: string, text: string): void;
}

const KERNEL: GroupFiles = {
  mkdir: (path) => mkdirSync(path),
  rmdir: (path) => rmdirSync(path),
  // Without O_CREAT: a file that is not there is ENOENT.
  write: (path, text) => writeFileSync(path, text, { flag: 'r+' }),
};

const PERIOD_US = 100_000;
const REMOVE_DEADLINE_MS = 5_000;

/**
 * One group for all of us, in each hierarchy that has a controller of ours, with
 * children that have limits of their own. A controller that cannot be had is
 * left out: ask `missing`.
 */
export class ControlGroups {
  readonly hierarchies: readonly Hierarchy[];
  readonly #name: string;
  readonly #files: GroupFiles;

  /** @param name of the group that holds all children */
  constructor(name: string, hierarchies = hierarchiesHere(), files = KERNEL) {
    this.#name = name;
    this.hierarchies = hierarchies;
    this.#files = files;
  }

  /** What cannot be limited here, and why. */
  missing(): MissingController[] {
    const found = new Set(this.hierarchies.flatMap(({ controllers }) => controllers));
    const absent = CONTROLLERS.filter((controller) => !found.has(controller));
    const refused = this.hierarchies.flatMap((hierarchy) => {
      const reason = this.#tryParent(hierarchy);
      return reason === null
        ? []
        : hierarchy.controllers.map((controller) => ({ controller, reason }));
    });
    this.#removeParents();
    return [
      ...absent.map((controller) => ({ controller, reason: 'it is mounted nowhere' })),
      ...refused,
    ];
  }

  /**
   * Makes a child, or sets the limits of the one there is.
   * @returns its directories, for `enterGroups`: one for each hierarchy that can be had
   */
  make(child: string, limits: GroupLimits): string[] {
    return this.hierarchies.flatMap((hierarchy) => {
      if (this.#tryParent(hierarchy) !== null) return [];
      const directory = join(this.#parent(hierarchy), child);
      this.#makeDirectory(directory);
      for (const controller of hierarchy.controllers) {
        for (const [file, text] of limitFiles(hierarchy.version, controller, limits)) {
          this.#limit(join(directory, file), text);
        }
      }
      return [directory];
    });
  }

  /** Removes a child whose processes have ended. Already gone is success. */
  async remove(child: string): Promise<void> {
    const end = performance.now() + REMOVE_DEADLINE_MS;
    for (const hierarchy of this.hierarchies) {
      const directory = join(this.#parent(hierarchy), child);
      // A process that has closed its files may be on its way out of its groups still.
      while (!this.#removeDirectory(directory, performance.now() > end)) await setTimeout(5);
    }
    this.#removeParents();
  }

  /** Whether the kernel has ended a process of a child's because its memory limit was reached. */
  ranOutOfMemory(child: string): boolean {
    return this.hierarchies.some((hierarchy) => {
      if (!hierarchy.controllers.includes('memory')) return false;
      const file = hierarchy.version === 1 ? 'memory.oom_control' : 'memory.events';
      try {
        const text = readFileSync(join(this.#parent(hierarchy), child, file), 'utf8');
        return /^oom_kill [1-9]/m.test(text);
      } catch (error) {
        if (isErrno(error, 'ENOENT')) return false;
        throw error;
      }
    });
  }

  /** Every child there is. */
  children(): string[] {
    const names = this.hierarchies.flatMap((hierarchy) => directoriesIn(this.#parent(hierarchy)));
    return [...new Set(names)];
  }

  #parent({ base }: Hierarchy): string {
    return join(base, this.#name);
  }

  /** @returns why the group of all children cannot be had; null when it is there */
  #tryParent(hierarchy: Hierarchy): string | null {
    const parent = this.#parent(hierarchy);
    try {
      this.#makeDirectory(parent);
      if (hierarchy.version === 2) {
        const wanted = hierarchy.controllers.map((name) => `+${name}`).join(' ');
        for (const group of [hierarchy.base, parent]) {
          this.#files.write(join(group, 'cgroup.subtree_control'), wanted);
        }
      }
      return null;
    } catch (error) {
      return messageOf(error);
    }
  }

  #makeDirectory(path: string): void {
    try {
      this.#files.mkdir(path);
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
    }
  }

  #limit(path: string, text: string): void {
    try {
      this.#files.write(path, text);
    } catch (error) {
      // Swap is not accounted on every host; and what asks for more processor time
      // than its v1 parent has is bounded by that.
      const optional = /\.(memsw|swap)\./.test(basename(path)) && isErrno(error, 'ENOENT');
      const bounded = path.endsWith('cpu.cfs_quota_us') && isErrno(error, 'EINVAL');
      if (!optional && !bounded) throw error;
    }
  }

  /** @returns whether it is gone @throws when it is not and `last` is said */
  #removeDirectory(path: string, last: boolean): boolean {
    try {
      this.#files.rmdir(path);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return true;
      if (last || !isErrno(error, 'EBUSY')) throw error;
      return false;
    }
    return true;
  }

  /** Those that have no child. */
  #removeParents(): void {
    for (const hierarchy of this.hierarchies) {
      try {
        this.#files.rmdir(this.#parent(hierarchy));
      } catch (error) {
        if (!isErrno(error, 'ENOENT', 'EBUSY', 'ENOTEMPTY', 'EROFS', 'EACCES', 'EPERM'))
          throw error;
      }
    }
  }
}

/** Moves a process into groups; what it uses from then on counts there. Gone is success. */
export function enterGroups(directories: readonly string[], pid: number): void {
  for (const directory of directories) {
    try {
      writeFileSync(join(directory, 'cgroup.procs'), String(pid), { flag: 'r+' });
    } catch (error) {
      if (!isErrno(error, 'ESRCH')) throw error;
    }
  }
}

function limitFiles(
  version: 1 | 2,
  controller: Controller,
  { memoryBytes, pids, cpus }: GroupLimits,
): [file: string, text: string][] {
  const quota = Math.ceil(cpus * PERIOD_US);
  switch (controller) {
    case 'pids':
      return [['pids.max', String(pids)]];
    case 'memory':
      // Admin guides of Linux: v1 counts memory and swap together, v2 swap alone.
      return version === 1
        ? [
            ['memory.limit_in_bytes', String(memoryBytes)],
            ['memory.memsw.limit_in_bytes', String(memoryBytes)],
          ]
        : [
            ['memory.max', String(memoryBytes)],
            ['memory.swap.max', String(memoryBytes)],
          ];
    case 'cpu':
      return version === 1
        ? [
            ['cpu.cfs_period_us', String(PERIOD_US)],
            ['cpu.cfs_quota_us', String(quota)],
          ]
        : [['cpu.max', `${quota} ${PERIOD_US}`]];
  }
}

/** What this process's /proc says. */
export function hierarchiesHere(): Hierarchy[] {
  const [mountinfo, own] = ['mountinfo', 'cgroup'].map((name) =>
    readFileSync(`/proc/self/${name}`, 'utf8'),
  );
  return findHierarchies(mountinfo!, own!, (group) => {
    return readFileSync(join(group, 'cgroup.controllers'), 'utf8');
  });
}

function directoriesIn(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}
