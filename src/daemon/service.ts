import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import {
  VmState,
  WaitVmResponse_End,
  type CreateVmResponseSchema,
  type NetworkSchema,
  type VmSchema,
  type VmUsageSchema,
  type VmsanService,
} from '../gen/vmsan/v1/vmsan_pb.js';
import type { VmUsage } from '../api/usage.ts';
import type { VmRecord } from '../store/store.ts';
import { auditVm } from './audit.ts';
import { networkOf, type Context } from './context.ts';
import { createVm, type BootProgress } from './create.ts';
import { stallWords } from './disk-space.ts';
import { examine } from './doctor.ts';
import { agentOf } from './exec-forward.ts';
import { explainTarget } from './explain.ts';
import { findVm } from './find.ts';
import { consoleOf } from './logs.ts';
import { setNetwork } from './network.ts';
import { Queue } from './queue.ts';
import { removeVm } from './remove.ts';
import { startVm } from './start.ts';
import { stopVm } from './stop.ts';
import { trafficOf } from './traffic-request.ts';
import { usageOfAll } from './usage.ts';
import { waitForEnd, type Waited } from './wait.ts';

/** What the service needs of the process it runs in. */
export interface DaemonProcess {
  build: string;
  startedAtMs: number;
  /** Makes the daemon end once this is answered. With `purge` every VM goes first; gives their number. */
  stop(options: { purge: boolean }): Promise<number>;
  /** Told after each answer. */
  answered(): void;
}

/** The operations as VmsanService. What they throw becomes a Connect error in an interceptor. */
export function vmsanService(
  context: Context,
  daemon: DaemonProcess,
): ServiceImpl<typeof VmsanService> {
  return {
    createVm: (request) => booting(context, (progress) => createVm(context, request, progress)),

    startVm: (request) => booting(context, (progress) => startVm(context, request.vm, progress)),

    async stopVm(request) {
      return { vm: describe(context, await stopVm(context, request.vm, request.graceMs)) };
    },

    async waitVm(request, { signal }) {
      const { id, name, end } = await waitForEnd(context, request.vm, request.patienceMs, signal);
      return { id, name, end: ENDS[end] };
    },

    async *watchEvents({ follow }, { signal }) {
      const events = follow ? context.events.follow(signal) : context.events.all();
      for await (const { atMs, kind, vm, detail } of events) {
        yield { atMs: BigInt(atMs), kind, id: vm?.id ?? '', name: vm?.name ?? '', detail };
      }
    },

    async *getLogs({ vm, follow }, { signal }) {
      for await (const text of consoleOf(context, vm, follow, signal)) yield { text };
    },

    async listVmExecs({ vm }) {
      const agent = await agentOf(context, vm);
      return { execs: await agent.listExecs() };
    },

    listVms() {
      return { vms: context.store.vms().map((vm) => describe(context, vm)) };
    },

    getVm(request) {
      return { vm: describe(context, findVm(context.store, request.vm)) };
    },

    async removeVm(request) {
      const { id, name } = await removeVm(context, request.vm, { force: request.force });
      return { id, name };
    },

    async setNetwork(request) {
      const { before, after, closed, ...receipt } = await setNetwork(context, request);
      return {
        id: after.id,
        name: after.name,
        before: describeNetwork(context, before),
        after: describeNetwork(context, after),
        ...closed,
        ...receipt,
      };
    },

    async getUsage({ vm }) {
      const { store } = context;
      const records = vm === '' ? store.vms() : [findVm(store, vm)];
      const states = new Map(records.map((record) => [record.id, describe(context, record).state]));
      const vms = await usageOfAll(context, records);
      return {
        vms: vms.map((usage) => ({ ...describeUsage(usage), state: states.get(usage.id)! })),
        atMs: performance.now(),
      };
    },

    explain(request) {
      return explainTarget(context, request);
    },

    async auditVm(request) {
      const { vm, attempts } = await auditVm(context, request);
      return { id: vm.id, name: vm.name, network: describeNetwork(context, vm), attempts };
    },

    async *watchTraffic(request, { signal }) {
      for await (const { entries, leftOut } of trafficOf(context, request, signal)) {
        yield {
          entries: entries.map(({ firstAtMs, lastAtMs, count, ...entry }) => ({
            ...entry,
            firstAtMs: BigInt(firstAtMs),
            lastAtMs: BigInt(lastAtMs),
            count: BigInt(count),
          })),
          leftOut: BigInt(leftOut),
        };
      }
    },

    async doctor() {
      return { checks: await examine(context) };
    },

    getDaemon() {
      return {
        pid: process.pid,
        build: daemon.build,
        stateDir: context.settings.stateDir,
        runDir: context.settings.runDir,
        startedAtMs: BigInt(daemon.startedAtMs),
        runningVms: context.live.size,
        gatePid: context.sharedNetwork.gatePid,
      };
    },

    async stopDaemon(request) {
      return { removedVms: await daemon.stop(request) };
    },
  };
}

type BootEvent = MessageInitShape<typeof CreateVmResponseSchema>['event'];

/** An operation that boots a VM as the stream of its events. A client that goes away does not stop it. */
async function* booting(
  context: Context,
  operation: (progress: BootProgress) => Promise<VmRecord>,
): AsyncGenerator<{ event: NonNullable<BootEvent> }> {
  const events = new Queue<{ event: NonNullable<BootEvent> }>();
  const booted = operation({
    step: (value) => events.push({ event: { case: 'step', value } }),
    notice: (value) => events.push({ event: { case: 'notice', value } }),
  }).finally(() => events.end());
  // Thrown where it is awaited, below.
  booted.catch(() => {});
  yield* events;
  yield { event: { case: 'vm', value: describe(context, await booted) } };
}

const ENDS = {
  'not yet': WaitVmResponse_End.NOT_YET,
  stopped: WaitVmResponse_End.STOPPED,
  removed: WaitVmResponse_End.REMOVED,
} as const satisfies Record<Waited['end'], WaitVmResponse_End>;

const STATES = {
  creating: VmState.CREATING,
  starting: VmState.STARTING,
  running: VmState.RUNNING,
  stopping: VmState.STOPPING,
  stopped: VmState.STOPPED,
  removing: VmState.REMOVING,
} as const satisfies Record<VmRecord['state'], VmState>;

function describe(context: Context, vm: VmRecord): MessageInitShape<typeof VmSchema> {
  const network = networkOf(context, vm);
  const stall = vm.state === 'running' ? context.live.get(vm.id)?.machine.stall : null;
  const notice = stall ? stallWords(context, stall) : '';
  return {
    id: vm.id,
    name: vm.name,
    state: notice === '' ? STATES[vm.state] : VmState.PAUSED,
    notice,
    slot: vm.slot,
    guestIp: network.guestIp,
    gatewayIp: network.gatewayIp,
    network: describeNetwork(context, vm),
    vcpus: vm.vcpus,
    memoryMib: vm.memoryMib,
    diskBytes: BigInt(vm.diskBytes),
    createdAtMs: BigInt(vm.createdAtMs),
    accelerator: vm.accelerator,
    netns: network.netns ?? '',
    pid: vm.process?.pid ?? 0,
    autostart: vm.autostart,
  };
}

function describeNetwork(context: Context, vm: VmRecord): MessageInitShape<typeof NetworkSchema> {
  const { policy, generation, bandwidth, ports } = vm;
  return {
    policy: policy.base,
    generation,
    defaultVerdict: policy.default,
    allowedCidrs: [...policy.allowed],
    deniedCidrs: [...policy.denied],
    openedCidrs: [...policy.opened],
    allowedDomains: [...policy.domains],
    bandwidthOut: BigInt(bandwidth.out ?? 0),
    bandwidthIn: BigInt(bandwidth.in ?? 0),
    publishedPorts: ports.map((port) => ({
      ...port,
      address: port.address ?? '0.0.0.0',
      held: context.heldPorts.holds(vm.id, port),
    })),
  };
}

function describeUsage(usage: VmUsage): MessageInitShape<typeof VmUsageSchema> {
  return {
    ...usage,
    memoryBytes: BigInt(usage.memoryBytes),
    sentBytes: BigInt(usage.sentBytes),
    sentPackets: BigInt(usage.sentPackets),
    receivedBytes: BigInt(usage.receivedBytes),
    receivedPackets: BigInt(usage.receivedPackets),
    drops: usage.drops.map(({ reason, packets }) => ({ reason, packets: BigInt(packets) })),
  };
}
