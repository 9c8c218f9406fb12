import { randomBytes } from 'node:crypto';
import { checkDisk, checkMemory, checkVcpus, parseName } from '../api/values.ts';
import type { CreateVmRequest } from '../gen/vmsan/v1/vmsan_pb.js';
import { Failure } from '../host/failure.ts';
import type { Images } from '../image/images.ts';
import { vmUid } from '../net/plan.ts';
import { routedNetworks } from '../net/routes.ts';
import type { Policy } from '../policy/policy.ts';
import type { VmRecord } from '../store/store.ts';
import { chooseAccelerator } from './accelerator.ts';
import { bringUpSteps } from './bring-up.ts';
import { sayMissingGroups } from './control-groups.ts';
import { diskOf, type Context } from './context.ts';
import { makeStateDirectory, removeStateDirectory } from './directories.ts';
import { refuseFullDisk } from './disk-space.ts';
import { makeDisk } from './disk.ts';
import { forgetVm } from './netns-directory.ts';
import { sayOnce, type Notice } from './notices.ts';
import { readRequest } from './policy.ts';
import { freeSlot } from './slots.ts';
import { runSteps, type Step } from './steps.ts';

const LAN_NOTICE =
  'allow-all lets a VM reach your own networks too (LAN, VPN); --denied-cidr private shuts it off';

/** What an operation that boots a VM tells while it works. */
export interface BootProgress {
  step(name: string): void;
  /** A sentence that the user should read once. */
  notice: Notice;
}

/**
 * Makes and boots a VM.
 * @returns its record, once its agent has answered and its policy is in force
 * @throws Failure; then nothing is left of it
 */
export async function createVm(
  context: Context,
  request: CreateVmRequest,
  progress: BootProgress,
): Promise<VmRecord> {
  const { policy, notices } = readRequest(context.host, request);
  const vm = newRecord(request, policy);
  refuseTakenName(context, vm.name);
  refuseFullDisk(context);
  const images = await context.images();
  vm.accelerator = await chooseAccelerator(context, images, progress.notice);
  sayMissingGroups(context, progress.notice);
  if (vm.policy.base === 'allow-all') sayOnce(context, progress.notice, 'LAN', LAN_NOTICE);
  for (const text of notices) progress.notice(text);
  await inTurn(context, progress, async () => {
    const steps = creationSteps(context, vm, images, await routedNetworks());
    await context.turns.run(vm.id, () => runSteps('create', steps, progress.step));
  });
  context.events.add('created', vm, vm.policy.base);
  return vm;
}

/** Runs what boots a guest when few others boot. */
export function inTurn(
  { boots }: Context,
  progress: BootProgress,
  boot: () => Promise<void>,
): Promise<void> {
  return boots.run(boot, () => progress.step('wait until others have booted'));
}

function creationSteps(
  context: Context,
  vm: VmRecord,
  images: Images,
  routes: readonly string[],
): Step[] {
  let disk: Promise<void> | undefined;
  return [
    {
      name: 'reserve a network',
      do: () => {
        refuseTakenName(context, vm.name);
        const taken = new Set(context.store.vms().map(({ slot }) => slot));
        vm.slot = freeSlot(context.host.pools, taken, routes);
        context.store.addVm(vm);
      },
      undo: () => forgetVm(context, vm.id),
    },
    {
      // Formatted while the netns is made; its machine waits for it.
      name: 'make the disk',
      do: () => {
        makeStateDirectory(context, vm.id);
        disk = makeDisk(diskOf(context, vm.id), vm.diskBytes, vmUid(vm.slot));
        disk.catch(() => {});
      },
      undo: async () => {
        await disk?.catch(() => {});
        removeStateDirectory(context, vm.id);
      },
    },
    ...bringUpSteps(context, vm, images, () => disk),
  ];
}

/** The record that a request asks for; slot and accelerator are still to be found. */
function newRecord(request: CreateVmRequest, policy: Policy): VmRecord {
  const id = `vm-${randomBytes(4).toString('hex')}`;
  return {
    id,
    name: request.name === '' ? id : parseName(request.name),
    state: 'creating',
    slot: -1,
    vcpus: checkVcpus(request.vcpus),
    memoryMib: checkMemory(request.memoryMib),
    diskBytes: Number(checkDisk(request.diskBytes)),
    policy,
    generation: 1,
    accelerator: 'tcg',
    createdAtMs: Date.now(),
    autostart: request.autostart,
    netns: true,
    process: null,
  };
}

function refuseTakenName(context: Context, name: string): void {
  const holder = context.store.vms().find((vm) => vm.name === name);
  if (holder === undefined) return;
  throw new Failure('conflict', `the name "${name}" is taken by ${holder.id}`, {
    hint: `vmsan rm ${name}, or choose another name`,
  });
}
