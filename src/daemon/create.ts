import { checkDisk, checkMemory, checkVcpus, parseName, portsOf, rateOf } from '../api/values.ts';
import type { CreateVmRequest } from '../gen/vmsan/v1/vmsan_pb.js';
import { Failure } from '../host/failure.ts';
import type { Images } from '../image/images.ts';
import { refuseBareLimit } from '../net/bandwidth.ts';
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
import { makeNetworksAhead, takenSlots } from './networks-ahead.ts';
import { sayOnce, type Notice } from './notices.ts';
import { readRequest } from './policy.ts';
import { portNotices, refuseBarePorts } from './ports.ts';
import type { ReadyNetwork } from './ready-networks.ts';
import { freeSlot, newVmId } from './slots.ts';
import { runSteps, type Step } from './steps.ts';

const LAN_NOTICE =
  'allow-all lets a VM reach your own networks too (LAN, VPN); --denied-cidr private shuts it off';

const NO_NETNS_NOTICE =
  'without a network namespace of its own, this VM’s rules share the host’s with all its other ' +
  'software: what flushes or changes them there stops the VM until vmsan has put them back';

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
  const asked = newRecord(request, policy);
  refuseBareLimit(asked, asked.bandwidth);
  refuseBarePorts(asked);
  if (request.name !== '') refuseTakenName(context, asked.name);
  refuseFullDisk(context);
  const images = await context.images();
  asked.accelerator = await chooseAccelerator(context, images, progress.notice);
  sayMissingGroups(context, progress.notice);
  if (policy.base === 'allow-all') sayOnce(context, progress.notice, 'LAN', LAN_NOTICE);
  if (!asked.netns) progress.notice(NO_NETNS_NOTICE);
  for (const text of notices) progress.notice(text);
  const vm = await inTurn(context, progress, async () => {
    const ready = asked.netns ? context.sharedNetwork.takeReady() : undefined;
    const place = ready === undefined ? {} : { id: ready.id, slot: ready.network.slot };
    const vm: VmRecord = { ...asked, ...place };
    if (request.name === '') vm.name = vm.id;
    const steps = creationSteps(context, vm, images, ready);
    await context.turns.run(vm.id, () => runSteps('create', steps, progress.step));
    return vm;
  });
  for (const text of portNotices(vm, asked.ports)) progress.notice(text);
  context.events.add('created', vm, vm.policy.base);
  makeNetworksAhead(context);
  return vm;
}

/** Runs what boots a guest when few others boot; says what the guest then finds shut. */
export async function inTurn<T>(
  { boots, sharedNetwork }: Context,
  progress: BootProgress,
  boot: () => Promise<T>,
): Promise<T> {
  const booted = await boots.run(boot, () => progress.step('wait until others have booted'));
  for (const refusal of sharedNetwork.refusals) progress.notice(`${refusal}; see vmsan doctor`);
  return booted;
}

function creationSteps(
  context: Context,
  vm: VmRecord,
  images: Images,
  ready: ReadyNetwork | undefined,
): Step[] {
  let disk: Promise<void> | undefined;
  return [
    {
      name: 'reserve a network',
      do: async () => {
        const routes = ready === undefined ? await routedNetworks() : [];
        refuseTakenName(context, vm.name);
        if (ready === undefined) {
          vm.slot = freeSlot(context.host.pools, takenSlots(context), routes);
        }
        context.store.addVm(vm);
      },
      undo: async () => {
        if (ready !== undefined) await context.sharedNetwork.discard(ready);
        await forgetVm(context, vm.id);
      },
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
    ...bringUpSteps(context, vm, images, { disk: () => disk, ready }),
  ];
}

/** The record that a request asks for; slot and accelerator are still to be found. */
function newRecord(request: CreateVmRequest, policy: Policy): VmRecord {
  const id = newVmId();
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
    bandwidth: { out: rateOf(request.bandwidthOut), in: rateOf(request.bandwidthIn) },
    ports: portsOf(request.publishPorts),
    accelerator: 'tcg',
    createdAtMs: Date.now(),
    autostart: request.autostart,
    netns: !request.noNetns,
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
