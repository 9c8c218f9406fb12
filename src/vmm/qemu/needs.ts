import type { Rlimits } from '../../host/rlimits.ts';
import type { MachineNeeds, MachineSpec } from '../vmm.ts';

/** How many requests to a disk QEMU has under way at once, each in a thread (util/thread-pool.c). */
const DISK_THREADS = 64;
/** QEMU's main thread, its RCU thread, and whatever else a device has. */
const OTHER_THREADS = 16;

/**
 * MiB of translated code that QEMU keeps under emulation. By default it keeps
 * up to an eighth of the host's memory, 1 GiB at most.
 */
export const TRANSLATION_MIB = 256;
/**
 * MiB beside the guest's memory and translated code: QEMU 7.2 with one vCPU had
 * 57 once its guest had used all of 512 MiB. The rest is page cache of its disk.
 */
const OVERHEAD_MIB = 192;
/** The same for each vCPU: its stack and its share of what it looks addresses up in. */
const OVERHEAD_PER_VCPU_MIB = 16;
/** MiB for each MiB of the guest's: page tables, and what vCPUs look addresses up in. */
const OVERHEAD_PER_MIB = 1 / 16;

/** What the QEMU of a machine uses at most. */
export function needsOf(
  machine: Pick<MachineSpec, 'vcpus' | 'memoryMib' | 'accelerator'>,
): MachineNeeds {
  const { vcpus, memoryMib, accelerator } = machine;
  const overheadMib =
    OVERHEAD_MIB +
    OVERHEAD_PER_VCPU_MIB * vcpus +
    Math.ceil(OVERHEAD_PER_MIB * memoryMib) +
    (accelerator === 'tcg' ? TRANSLATION_MIB : 0);
  return {
    memoryBytes: (memoryMib + overheadMib) * 1024 * 1024,
    threads: threadsOf(machine),
    // One for each of the guest's, and one for what QEMU does for their devices.
    cpus: vcpus + 1,
  };
}

function threadsOf({ vcpus }: { vcpus: number }): number {
  return vcpus + DISK_THREADS + OTHER_THREADS;
}

/**
 * What a QEMU may use that its guest has taken over. It has some 20 files
 * open; none that it may write is longer than the VM's disk.
 */
export function rlimitsOf(machine: { diskBytes: number }): Rlimits {
  return {
    core: 0,
    fsize: machine.diskBytes + 1024 * 1024,
    memlock: 64 * 1024,
    msgqueue: 0,
    nofile: 256,
    // Loose: hosts that share a kernel, as labs do, use the same user ids. Groups are strict.
    nproc: 1024,
  };
}
