import type { Drops, VmUsage } from '../api/usage.ts';
import { messageOf } from '../host/failure.ts';
import { cpuSecondsOf, memoryOf } from '../host/process.ts';
import { readLimitDrops, readLinkCounts } from '../net/link-counters.ts';
import type { VmRecord } from '../store/store.ts';
import { networkOf, type Context } from './context.ts';

/** What VMs use now. A VM that cannot be looked at, because it ends, is one that does not run. */
export async function usageOfAll(context: Context, vms: readonly VmRecord[]): Promise<VmUsage[]> {
  const all: VmUsage[] = [];
  // One after the other: nobody waits for it, and others wait for the daemon.
  for (const vm of vms) all.push(await usageOfVm(context, vm));
  return all;
}

async function usageOfVm(context: Context, vm: VmRecord): Promise<VmUsage> {
  const { id, name, process, state } = vm;
  if (state === 'running' && process !== null) {
    try {
      const network = networkOf(context, vm);
      const { sent, received } = readLinkCounts(network);
      return {
        id,
        name,
        running: true,
        cpuSeconds: cpuSecondsOf(process) ?? 0,
        memoryBytes: memoryOf(process) ?? 0,
        sentBytes: sent.bytes,
        sentPackets: sent.packets,
        receivedBytes: received.bytes,
        receivedPackets: received.packets,
        drops: await dropsOf(context, vm),
      };
    } catch (error) {
      context.log.warn({ vm: id, error: messageOf(error) }, 'what it uses cannot be read');
    }
  }
  return { ...NOTHING, id, name };
}

/** By reason; those of limits are there while there are limits. */
async function dropsOf(context: Context, vm: VmRecord): Promise<Drops[]> {
  const limits = await readLimitDrops(networkOf(context, vm), vm.bandwidth);
  const ofLimits = (['out', 'in'] as const).flatMap((way) =>
    vm.bandwidth[way] === null ? [] : [{ reason: `bandwidth-${way}`, packets: limits[way] }],
  );
  const others = Object.entries(context.traffic.dropped(vm.id));
  return [...others.map(([reason, packets]) => ({ reason, packets })), ...ofLimits];
}

const NOTHING: VmUsage = {
  id: '',
  name: '',
  running: false,
  cpuSeconds: 0,
  memoryBytes: 0,
  sentBytes: 0,
  sentPackets: 0,
  receivedBytes: 0,
  receivedPackets: 0,
  drops: [],
};
