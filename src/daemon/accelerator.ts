import { chownSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bootId } from '../host/boot-id.ts';
import { Failure, messageOf } from '../host/failure.ts';
import { kernelCommandLine } from '../guest/kernel-command-line.ts';
import { run } from '../host/run.ts';
import type { Images } from '../image/images.ts';
import { proofUid } from '../net/plan.ts';
import { QEMU_PROGRAM } from '../vmm/qemu/arguments.ts';
import { qemu } from '../vmm/qemu/qemu.ts';
import type { Accelerator } from '../vmm/vmm.ts';
import { meetAgent } from './boot.ts';
import type { Context } from './context.ts';
import { makeDisk } from './disk.ts';
import { sayOnce, type Notice } from './notices.ts';

/** A guest that KVM runs answers in a third of this. */
const PROOF_DEADLINE_MS = 3_000;
const PROOF_DISK_BYTES = 64 * 1024 * 1024;

/** What was found out about KVM on this host. */
export interface KvmVerdict {
  works: boolean;
  /** Why not; empty when it works. */
  reason: string;
}

/**
 * The accelerator for a new VM, by the settings and by proof.
 * @param notice told, once a boot of the host, when software emulation is used for want of KVM
 * @throws Failure `unavailable` when the settings ask for KVM and it does not work
 */
export async function chooseAccelerator(
  context: Context,
  images: Images,
  notice: Notice,
): Promise<Accelerator> {
  const { accel } = context.settings;
  if (accel === 'tcg') return 'tcg';
  const kvm = await judgeKvm(context, images);
  if (kvm.works) return 'kvm';
  if (accel === 'kvm') {
    throw new Failure('unavailable', `VMSAN_ACCEL=kvm, but ${kvm.reason}`, {
      hint: 'VMSAN_ACCEL=tcg uses software emulation',
    });
  }
  const text = `KVM does not work here (${kvm.reason}): VMs run under software emulation, which is slower`;
  sayOnce(context, notice, `no KVM in boot ${bootId()}`, text);
  return 'tcg';
}

/**
 * Whether guests run under KVM here. /dev/kvm proves nothing: on some nested
 * hosts it opens and guests die. So the real kernel is booted once, and the
 * finding kept for this boot of the host, this QEMU and this kernel.
 */
export async function judgeKvm(context: Context, images: Images): Promise<KvmVerdict> {
  // Who asks for KVM by name may know better than what the host says of itself.
  const missing = context.settings.accel === 'kvm' ? null : missingForKvm();
  if (missing !== null) return { works: false, reason: missing };
  const key = `kvm ${bootId()} ${await qemuVersion()} ${images.hash}`;
  const known = context.store.fact(key);
  if (known !== undefined) return JSON.parse(known) as KvmVerdict;
  const verdict = await proveKvm(context, images);
  context.store.setFact(key, JSON.stringify(verdict));
  return verdict;
}

/** What KVM lacks by what the host says of itself, or null. */
function missingForKvm(): string | null {
  if (!existsSync('/dev/kvm')) return 'there is no /dev/kvm';
  // A para-virtualised KVM inside another's guest: it opens, and guests die on it.
  if (existsSync('/sys/module/kvm_pvm')) return 'the host’s kvm_pvm cannot run our guests';
  if (!existsSync('/sys/module/kvm_intel') && !existsSync('/sys/module/kvm_amd')) {
    return 'neither kvm_intel nor kvm_amd is loaded';
  }
  return null;
}

async function proveKvm(context: Context, images: Images): Promise<KvmVerdict> {
  const parent = join(context.settings.runDir, 'proof');
  mkdirSync(parent, { recursive: true, mode: 0o711 });
  const runDir = mkdtempSync(join(parent, 'kvm-'));
  try {
    chownSync(runDir, proofUid(), proofUid());
    const disk = join(runDir, 'disk.raw');
    await makeDisk(disk, PROOF_DISK_BYTES, proofUid());
    const machine = await qemu.start({
      id: 'proof',
      uid: proofUid(),
      vcpus: 1,
      memoryMib: 256,
      accelerator: 'kvm',
      ...images,
      kernelCommandLine: kernelCommandLine({ accelerator: 'kvm' }),
      disk,
      network: null,
      runDir,
      groups: [],
    });
    try {
      (await meetAgent(machine, PROOF_DEADLINE_MS)).close();
      return { works: true, reason: '' };
    } finally {
      await machine.kill();
    }
  } catch (error) {
    return { works: false, reason: `a guest did not boot under KVM: ${messageOf(error)}` };
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
}

async function qemuVersion(): Promise<string> {
  const { stdout } = await run([QEMU_PROGRAM, '--version']);
  return stdout.split('\n')[0] ?? '';
}
