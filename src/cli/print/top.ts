import type { ResponseOf } from '../../api/calls.ts';
import { usageOf, type VmUsage } from '../../api/usage.ts';
import { size } from './text.ts';
import { bitRate, bytes } from './usage.ts';
import { stateName } from './vm.ts';

/** What all VMs used at one moment. */
export interface Look {
  atMs: number;
  vms: (VmUsage & { state: string })[];
}

/** A VM's use with what it was of the time between two looks; null before there were two. */
export type Share = Look['vms'][number] & {
  /** 100 is one processor of the host's. */
  cpuPercent: number | null;
  sentBitsPerSecond: number | null;
  receivedBitsPerSecond: number | null;
};

export function readLook({ vms = [], atMs = 0 }: ResponseOf<'getUsage'>): Look {
  return {
    atMs: Number(atMs),
    vms: vms.map((vm) => ({ ...usageOf(vm), state: stateName(vm.state) })),
  };
}

export function shares(now: Look, before?: Look): Share[] {
  const seconds = before === undefined ? 0 : (now.atMs - before.atMs) / 1000;
  return now.vms.map((vm) => {
    const was = before?.vms.find(({ id }) => id === vm.id);
    const rate = (of: (each: VmUsage) => number): number | null => {
      // One that began anew since counts from zero.
      if (was === undefined || seconds <= 0 || !vm.running || of(vm) < of(was)) return null;
      return (of(vm) - of(was)) / seconds;
    };
    const bits = (of: (each: VmUsage) => number) => rate((each) => of(each) * 8);
    return {
      ...vm,
      cpuPercent: rate(({ cpuSeconds }) => cpuSeconds * 100),
      sentBitsPerSecond: bits(({ sentBytes }) => sentBytes),
      receivedBitsPerSecond: bits(({ receivedBytes }) => receivedBytes),
    };
  });
}

export const TOP_HEAD = ['NAME', 'STATE', 'CPU', 'MEMORY', 'OUT', 'OUT/S', 'IN', 'IN/S', 'DROPPED'];

export function topRow(vm: Share): string[] {
  if (!vm.running) return [vm.name, vm.state];
  const dropped = vm.drops.reduce((sum, { packets }) => sum + packets, 0);
  const rate = (bits: number | null) => (bits === null ? '-' : bitRate(bits));
  return [
    vm.name,
    vm.state,
    vm.cpuPercent === null ? '-' : `${vm.cpuPercent.toFixed(1)} %`,
    size(vm.memoryBytes),
    bytes(vm.sentBytes),
    rate(vm.sentBitsPerSecond),
    bytes(vm.receivedBytes),
    rate(vm.receivedBitsPerSecond),
    String(dropped),
  ];
}
