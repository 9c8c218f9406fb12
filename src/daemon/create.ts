import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, rmSync } from 'node:fs';
import { checkDisk, checkMemory, checkVcpus, parseName, policyOf } from '../api/values.ts';
import type { CreateVmRequest } from '../gen/vmsan/v1/vmsan_pb.js';
import { closeFd } from '../host/ffi.ts';
import { Failure } from '../host/failure.ts';
import type { Images } from '../image/images.ts';
import { vmUid } from '../net/plan.ts';
import { routedNetworks } from '../net/routes.ts';
import * as links from '../net/vm-links.ts';
import type { VmRecord } from '../store/store.ts';
import { chooseAccelerator } from './accelerator.ts';
import { bootGuest } from './boot.ts';
import { directoriesOf, diskOf, networkOf, type Context, type LiveVm } from './context.ts';
import { makeDisk } from './disk.ts';
import { goLive } from './life.ts';
import { forgetVm, noteNetnsDirectory } from './netns-directory.ts';
import { sayOnce, type Notice } from './notices.ts';
import { freeSlot } from './slots.ts';
import { runSteps, type Step } from './steps.ts';

const LAN_NOTICE =
  'allow-all lets a VM reach your own networks too (LAN, VPN); --network-policy deny-all shuts it off';

/** What `createVm` tells while it works. */
export interface CreateProgress {
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
  progress: CreateProgress,
): Promise<VmRecord> {
  const vm = newRecord(request);
  refuseTakenName(context, vm.name);
  const images = await context.images();
  vm.accelerator = await chooseAccelerator(context, images, progress.notice);
  if (vm.policy.base === 'allow-all') sayOnce(context, progress.notice, 'LAN', LAN_NOTICE);
  const routes = await routedNetworks();
  await context.turns.run(vm.id, () =>
    runSteps(creationSteps(context, vm, images, routes), progress.step),
  );
  return vm;
}

function creationSteps(
  context: Context,
  vm: VmRecord,
  images: Images,
  routes: readonly string[],
): Step[] {
  const directories = directoriesOf(context, vm.id);
  let tapFd: number | undefined;
  let live: LiveVm | undefined;
  const network = () => networkOf(context, vm);
  const closeTap = () => {
    if (tapFd !== undefined) closeFd(tapFd);
    tapFd = undefined;
  };
  return [
    {
      name: 'reserve a network',
      do: () => {
        refuseTakenName(context, vm.name);
        const taken = new Set(context.store.vms().map(({ slot }) => slot));
        vm.slot = freeSlot(context.host.pools, taken, routes);
        context.store.addVm(vm);
        noteNetnsDirectory(context);
      },
      undo: () => forgetVm(context, vm.id),
    },
    {
      name: 'make the disk',
      do: async () => {
        makeDirectory(directories.run, vmUid(vm.slot));
        makeDirectory(directories.state, vmUid(vm.slot));
        await makeDisk(diskOf(context, vm.id), vm.diskBytes, vmUid(vm.slot));
      },
      undo: () => {
        rmSync(directories.run, { recursive: true, force: true });
        rmSync(directories.state, { recursive: true, force: true });
      },
    },
    {
      name: 'make the network namespace',
      do: () => links.addNetns(network()),
      undo: () => links.removeNetns(network()),
    },
    {
      name: 'load the ruleset',
      do: () => {
        tapFd = links.openGuardedTap(network(), context.host, vm.policy, vm.generation);
      },
      undo: closeTap,
    },
    {
      name: 'let it into the host’s table',
      do: () => context.sharedNetwork.attach(vm.id, { network: network(), policy: vm.policy }),
      undo: () => context.sharedNetwork.detach(vm.id),
    },
    {
      name: 'connect the links',
      do: () => links.connectLinks(network()),
      undo: () => links.removeHostLink(network()),
    },
    {
      name: 'boot the guest',
      do: async () => {
        live = await bootGuest(context, vm, images, tapFd!);
        closeTap();
      },
      undo: () => live?.machine.kill(),
    },
    {
      name: 'record that it runs',
      do: () => {
        vm.state = 'running';
        vm.process = live!.machine.process;
        context.store.updateVm(vm);
        goLive(context, vm.id, live!);
      },
    },
  ];
}

/** The record that a request asks for; slot and accelerator are still to be found. */
function newRecord(request: CreateVmRequest): VmRecord {
  const id = `vm-${randomBytes(4).toString('hex')}`;
  return {
    id,
    name: request.name === '' ? id : parseName(request.name),
    state: 'creating',
    slot: -1,
    vcpus: checkVcpus(request.vcpus),
    memoryMib: checkMemory(request.memoryMib),
    diskBytes: Number(checkDisk(request.diskBytes)),
    policy: policyOf(request.policy),
    generation: 1,
    accelerator: 'tcg',
    createdAtMs: Date.now(),
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

/** A directory that only a VM's own QEMU can read, below one that everyone can pass through. */
function makeDirectory(path: string, uid: number): void {
  mkdirSync(path, { mode: 0o700 });
  chmodSync(path, 0o700);
  chownSync(path, uid, uid);
}
