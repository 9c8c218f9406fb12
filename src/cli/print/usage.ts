import type { VmUsage } from '../../api/usage.ts';

/** `999 B`, `1.2 kB`, `34.5 MB`: powers of 1000, as rates are. */
export function bytes(count: number): string {
  return `${scaled(count)}B`;
}

/** `999 bit/s`, `1.2 kbit/s`, `48.9 Mbit/s`. */
export function bitRate(bitsPerSecond: number): string {
  return `${scaled(bitsPerSecond)}bit/s`;
}

function scaled(value: number): string {
  const [unit, scale] = (
    [
      ['T', 1e12],
      ['G', 1e9],
      ['M', 1e6],
      ['k', 1e3],
    ] as const
  ).find(([, size]) => value >= size * 0.999_95) ?? ['', 1];
  return `${scale === 1 ? Math.round(value) : (value / scale).toFixed(1)} ${unit}`;
}

/** Rows of a table of one VM: what it sent, what it got, and what was dropped, by reason. */
export function countRows(
  counts: Pick<
    VmUsage,
    'sentBytes' | 'sentPackets' | 'receivedBytes' | 'receivedPackets' | 'drops'
  >,
): string[][] {
  return [
    ['sent', `${bytes(counts.sentBytes)} in ${counts.sentPackets} packets`],
    ['received', `${bytes(counts.receivedBytes)} in ${counts.receivedPackets} packets`],
    ['dropped', dropsText(counts) || 'nothing'],
  ];
}

/** `12 bandwidth-out, 3 policy`; empty when nothing was dropped. */
export function dropsText({ drops }: Pick<VmUsage, 'drops'>): string {
  return drops
    .filter(({ packets }) => packets > 0)
    .map(({ reason, packets }) => `${packets} ${reason}`)
    .join(', ');
}
