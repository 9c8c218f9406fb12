import type { VmUsageJson as WireUsage } from '../gen/vmsan/v1/vmsan_pb.js';

/** What a VM uses; all but who it is zero when it does not run. Fields are added, never changed. */
export interface VmUsage {
  id: string;
  name: string;
  running: boolean;
  /** Processor time since its start, of all its processors. */
  cpuSeconds: number;
  /** Of the host's memory, now. */
  memoryBytes: number;
  /** Frames since its network was made: to the host, and to the guest. */
  sentBytes: number;
  sentPackets: number;
  receivedBytes: number;
  receivedPackets: number;
  drops: Drops[];
}

export interface Drops {
  /** A word of vmsan's own: `bandwidth-out`. */
  reason: string;
  packets: number;
}

/** What the contract's JSON leaves out has its default value. */
export function usageOf(wire: WireUsage): VmUsage {
  return {
    id: wire.id ?? '',
    name: wire.name ?? '',
    running: wire.running ?? false,
    cpuSeconds: Number(wire.cpuSeconds ?? 0),
    memoryBytes: Number(wire.memoryBytes ?? 0),
    sentBytes: Number(wire.sentBytes ?? 0),
    sentPackets: Number(wire.sentPackets ?? 0),
    receivedBytes: Number(wire.receivedBytes ?? 0),
    receivedPackets: Number(wire.receivedPackets ?? 0),
    drops: (wire.drops ?? []).map(({ reason = '', packets = '0' }) => ({
      reason,
      packets: Number(packets),
    })),
  };
}
