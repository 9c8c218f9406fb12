import type { ProcessIdentity } from '../host/process.ts';

/**
 * What vmsan needs of a virtual machine monitor. QEMU is the one we have;
 * nothing outside src/vmm knows it by name.
 */

export type Accelerator = 'kvm' | 'tcg';

/** Everything a machine is started from. */
export interface MachineSpec {
  id: string;
  /** The user and group id that the monitor runs as; nobody else's. */
  uid: number;
  vcpus: number;
  memoryMib: number;
  accelerator: Accelerator;
  kernel: string;
  initramfs: string;
  kernelCommandLine: string;
  /** The read-only root file system. */
  base: string;
  /** The VM's own writable disk, a raw ext4 image. */
  disk: string;
  /** An open TAP, its MAC address inside the guest; null for a machine without network. */
  network: { tapFd: number; mac: string } | null;
  /** A directory for the machine's sockets, 0700. */
  runDir: string;
  /** Directories of the control groups that its monitor enters. */
  groups: readonly string[];
}

/** What a machine uses of its host at most. */
export interface MachineNeeds {
  memoryBytes: number;
  threads: number;
  /** Processors' worth of time. */
  cpus: number;
}

/** Why a guest does not run although its monitor does: its disk could not be written. */
export type Stall = 'no space' | 'write error';

/** A machine that runs. It outlives this process. */
export interface Machine {
  readonly process: ProcessIdentity;
  /** The unix socket behind which the guest's agent listens. One client at a time. */
  readonly agentSocket: string;
  /** Resolves when the monitor has ended, however that came. */
  readonly ended: Promise<void>;
  /**
   * The end of what the guest wrote to its console, at most 64 KiB of it, as
   * far as this process or nobody has read it.
   */
  consoleTail(): Promise<string>;
  /** How the monitor's process ended, as far as this process, which started it, has heard; else null. */
  readonly exited: string | null;
  /** How many characters of the console this process has read so far. */
  readonly consoleRead: number;
  /** Why its guest stands still; null when it does not. */
  readonly stall: Stall | null;
  /** Resolves when its guest stands still for the first time since this process has known it. */
  readonly stalled: Promise<void>;
  /** Makes its guest stand still until `resume`. */
  pause(): Promise<void>;
  /** Lets a guest that stands still go on, and try again what it could not write. */
  resume(): Promise<void>;
  /** Ends the monitor at once and waits until it is gone. */
  kill(): Promise<void>;
}

export interface Vmm {
  needs(machine: Pick<MachineSpec, 'vcpus' | 'memoryMib' | 'accelerator'>): MachineNeeds;
  /**
   * Starts a machine; the guest is booting when this returns.
   * @throws Failure with the monitor's own words
   */
  start(spec: MachineSpec): Promise<Machine>;
  /** Takes up a machine that an earlier process started; null when it runs no more. */
  adopt(process: ProcessIdentity, runDir: string): Promise<Machine | null>;
}
