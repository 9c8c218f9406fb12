import Table from 'cli-table3';
import { readRate } from '../src/policy/bandwidth.ts';
import type { Environment } from './environment.ts';
import { summarize, type Series } from './statistics.ts';

/** What is promised of a number; a run says whether it was so. */
export interface Bar {
  name: string;
  value: number;
  atMost: number;
}

/** The promises that these series can tell about. */
export function barsOf(series: readonly Series[]): Bar[] {
  const bars: Bar[] = [];
  const find = (name: string) => series.find((one) => one.name === name);
  const bare = find('create/bare');
  for (const name of ['create/api', 'create/cli']) {
    const ours = find(name);
    if (bare === undefined || ours === undefined) continue;
    const value = summarize(ours.samples).median / summarize(bare.samples).median;
    bars.push({ name: `${name} / create/bare, medians`, value, atMost: 1.15 });
  }
  for (const [name, atMost] of [
    ['list/cli', 80],
    ['exec/cli', 120],
  ] as const) {
    const ours = find(name);
    if (ours === undefined) continue;
    bars.push({ name: `${name}, median in ms`, value: summarize(ours.samples).median, atMost });
  }
  for (const name of ['network/daemon', 'network/lists/daemon']) {
    const change = find(name);
    if (change === undefined) continue;
    bars.push({ name: `${name}, p99 in ms`, value: summarize(change.samples).p99, atMost: 25 });
  }
  for (const [kind, atMost] of [
    ['cached', 1 / 0.9],
    ['miss', 1 / 3],
  ] as const) {
    const [ours, theirs] = [find(`dns/${kind}/vmsan`), find(`dns/${kind}/dnsmasq`)];
    if (ours === undefined || theirs === undefined) continue;
    const value = summarize(ours.samples).median / summarize(theirs.samples).median;
    bars.push({ name: `dns/${kind}, vmsan / dnsmasq, medians`, value, atMost });
  }
  for (const [kind, atMost] of [
    ['bulk', 1 / 0.95],
    ['connections', 1 / 0.85],
  ] as const) {
    const [ours, theirs] = [find(`proxy/${kind}/vmsan`), find(`proxy/${kind}/haproxy`)];
    if (ours === undefined || theirs === undefined) continue;
    const value = summarize(ours.samples).median / summarize(theirs.samples).median;
    bars.push({ name: `proxy/${kind}, vmsan / haproxy, medians`, value, atMost });
  }
  const ready = (beside: number) => find(`networks/ready/${beside}`);
  const [alone, crowded, naive] = [ready(1), ready(250), find('networks/naive/1')];
  if (alone !== undefined && crowded !== undefined && naive !== undefined) {
    const [few, many, script] = [alone, crowded, naive].map((s) => summarize(s.samples).median);
    bars.push(
      {
        name: 'networks/ready/1 / networks/naive/1, medians',
        value: few! / script!,
        atMost: 1 / 20,
      },
      { name: 'networks/ready/250 / networks/ready/1, medians', value: many! / few!, atMost: 1.2 },
      { name: 'networks/ready/250, median in ms', value: many!, atMost: 5 },
    );
  }
  for (const { name, samples } of series) {
    const wanted = /^bandwidth\/(\w+)$/.exec(name)?.[1];
    if (wanted === undefined) continue;
    const mbit = (readRate(wanted === 'vm' ? '50mbit' : wanted) ?? 0) / 1_000_000;
    const off = Math.abs(summarize(samples).median / mbit - 1) * 100;
    bars.push({ name: `${name}, % off the rate`, value: off, atMost: 3 });
    const ping = find(`${name}/ping`);
    if (ping === undefined || mbit < 5) continue;
    bars.push({
      name: `${ping.name}, median in ms`,
      value: summarize(ping.samples).median,
      atMost: 30,
    });
  }
  return bars;
}

/** For people; ends with a newline. */
export function tableOf(environment: Environment, series: readonly Series[]): string {
  const { cores, cpu, kernel, qemu, accelerator, node, build, loadBefore } = environment;
  const table = new Table({
    head: ['', 'n', 'min', 'median', 'p99', 'max', 'milliseconds of, or'],
    colAligns: ['left', 'right', 'right', 'right', 'right', 'right', 'left'],
    style: { head: [], border: [] },
    chars: { mid: '', 'left-mid': '', 'mid-mid': '', 'right-mid': '' },
  });
  for (const { name, what, samples } of series) {
    const { n, ...times } = summarize(samples);
    table.push([name, n, ...Object.values(times).map((ms) => ms.toFixed(1)), what]);
  }
  const lines = [
    `${cores} cores of ${cpu}, Linux ${kernel}, QEMU ${qemu} (${accelerator ?? 'not run'}), Node ${node}, bundle ${build}; load before: ${loadBefore}`,
    table.toString(),
    ...barsOf(series).map(({ name, value, atMost }) => {
      const verdict = value <= atMost ? 'ok  ' : 'OVER';
      return `${verdict} ${name}: ${value.toFixed(2)} (at most ${Number(atMost.toFixed(2))})`;
    }),
  ];
  return `${lines.join('\n')}\n`;
}
