import type { Rlimits } from '../../host/rlimits.ts';

/** How many requests to a disk QEMU has under way at once, each in a thread (util/thread-pool.c). */
const DISK_THREADS = 64;
/** QEMU's main thread, its RCU thread, and whatever else a device has. */
const OTHER_THREADS = 16;

/** How many threads the QEMU of a machine has at most. */
export function threadsOf({ vcpus }: { vcpus: number }): number {
  return vcpus + DISK_THREADS + OTHER_THREADS;
}

/**
 * What a QEMU may use that its guest has taken over. It has some 20 files
 * open; none that it may write is longer than the VM's disk.
 */
export function rlimitsOf(machine: { vcpus: number; diskBytes: number }): Rlimits {
  return {
    core: 0,
    fsize: machine.diskBytes + 1024 * 1024,
    memlock: 64 * 1024,
    msgqueue: 0,
    nofile: 256,
    nproc: threadsOf(machine),
  };
}
