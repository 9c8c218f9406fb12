import { statfsSync } from 'node:fs';
import { Failure } from '../host/failure.ts';
import type { VmRecord } from '../store/store.ts';
import type { Stall } from '../vmm/vmm.ts';
import type { Context } from './context.ts';

/** What a VM writes while it boots, and some: one that begins with less would soon stand still. */
const NEEDED_BYTES = 64 * 1024 * 1024;
/** What must be free for a VM that stood still to go on by itself. */
const ENOUGH_BYTES = 32 * 1024 * 1024;

const MIB = 1024 * 1024;

/** What those who are not root may still write where the VMs' disks are. */
function freeBytes({ settings }: Context): number {
  const { bavail, bsize } = statfsSync(settings.stateDir);
  return bavail * bsize;
}

/** Whether a VM that stood still for want of space may go on. */
export function spaceIsBack(context: Context): boolean {
  return freeBytes(context) >= ENOUGH_BYTES;
}

/** @throws Failure `exhausted` when a VM's disk would find no room; nothing was changed */
export function refuseFullDisk(context: Context): void {
  const free = freeBytes(context);
  if (free >= NEEDED_BYTES) return;
  throw noSpace(
    context,
    `${Math.floor(free / MIB)} MiB are free in ${context.settings.stateDir}, and a VM needs ${NEEDED_BYTES / MIB} MiB to begin with`,
  );
}

export function noSpace({ settings }: Context, message: string): Failure {
  return new Failure('exhausted', message, { hint: `make room there: df -h ${settings.stateDir}` });
}

/** Why a VM stands still, for its user. */
export function stallWords({ settings }: Context, stall: Stall): string {
  return stall === 'no space'
    ? `no space is left in ${settings.stateDir}; it goes on when there is`
    : 'the host could not write its disk';
}

/** What cannot be done in a VM that stands still. */
export function standsStill(context: Context, vm: VmRecord, stall: Stall): Failure {
  const message = `${vm.name} is paused: ${stallWords(context, stall)}`;
  return stall === 'no space'
    ? noSpace(context, message)
    : new Failure('unavailable', message, { hint: `to try again: vmsan start ${vm.name}` });
}
