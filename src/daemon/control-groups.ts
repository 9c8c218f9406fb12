import { existsSync, statSync } from 'node:fs';
import { bootId } from '../host/boot-id.ts';
import { ControlGroups, enterGroups, hierarchiesHere } from '../host/cgroup.ts';
import { messageOf } from '../host/failure.ts';
import type { Hierarchy } from '../host/cgroup-mounts.ts';
import type { Store, VmRecord } from '../store/store.ts';
import { qemu } from '../vmm/qemu/qemu.ts';
import type { Machine } from '../vmm/vmm.ts';
import type { Context } from './context.ts';
import { sayOnce, type Notice } from './notices.ts';

/** The fact that holds where the groups of this boot's VMs are. */
const PLACE = 'control groups';

/** The group of all VMs of a host: hosts that share a kernel, as labs do, have network namespaces of their own. */
export function controlGroupName(netnsInode: number): string {
  return `vmsan-${netnsInode}`;
}

/**
 * The control groups of this host's VMs. They stay where the first daemon of
 * this boot made them: the next one may itself be in another group, having
 * been started from another session.
 */
export function openControlGroups(store: Store): ControlGroups {
  const name = controlGroupName(statSync('/proc/self/ns/net').ino);
  const boot = bootId();
  const known = JSON.parse(store.fact(PLACE) ?? '{}') as { boot?: string; place?: Hierarchy[] };
  if (known.boot === boot && known.place?.every(({ base }) => existsSync(base)) === true) {
    return new ControlGroups(name, known.place);
  }
  const place = hierarchiesHere();
  store.setFact(PLACE, JSON.stringify({ boot, place }));
  return new ControlGroups(name, place);
}

/** Makes a VM's groups with its limits. @returns what its monitor enters */
export function boundVm(context: Context, vm: VmRecord): string[] {
  const { memoryBytes, threads, cpus } = qemu.needs(vm);
  return context.controlGroups.make(vm.id, { memoryBytes, pids: threads, cpus });
}

/** The same for a machine that runs already, which is no worse without. */
export function boundMachine(context: Context, vm: VmRecord, machine: Machine): void {
  try {
    enterGroups(boundVm(context, vm), machine.process.pid);
  } catch (error) {
    context.log.warn({ vm: vm.id, error: messageOf(error) }, 'its use is not limited');
  }
}

/** Removes the groups of VMs without a record, whose processes are gone. */
export async function removeStrayGroups(context: Context): Promise<void> {
  const known = new Set(context.store.vms().map(({ id }) => id));
  const strays = context.controlGroups.children().filter((id) => !known.has(id));
  for (const id of strays) await context.controlGroups.remove(id);
}

/** Says once a boot what of a VM's use this host does not let us limit. */
export function sayMissingGroups(context: Context, notice: Notice): void {
  const words = missingGroups(context);
  if (words === null) return;
  const text = `a VM's use of ${words}: it is not limited`;
  sayOnce(context, notice, `no control groups in boot ${bootId()}`, text);
}

/** Which controllers cannot be had, and why; null when all can. */
export function missingGroups(context: Context): string | null {
  const missing = context.controlGroups.missing();
  if (missing.length === 0) return null;
  const names = missing.map(({ controller }) => controller).join(', ');
  return `${names} (${[...new Set(missing.map(({ reason }) => reason))].join('; ')})`;
}
