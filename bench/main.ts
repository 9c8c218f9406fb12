/**
 * `npm run bench`: how long vmsan takes, beside bare QEMU where there is such
 * a thing, in one run on the lab's host. A table for people, JSON for programs
 * (`--json FILE`). The exit code tells whether it could measure, not whether
 * the numbers are good: those depend on the host.
 */
import { writeFileSync } from 'node:fs';
import { asFailure, exitCodeOf } from '../src/api/failures.ts';
import { messageOf } from '../src/host/failure.ts';
import { Lab } from '../test/lab/lab.ts';
import { TREE } from '../test/lab/paths.ts';
import type { DnsPlan } from './dns/inside.ts';
import type { NetworksPlan } from './networks/inside.ts';
import type { ProxyPlan } from './proxy/inside.ts';
import { measureBandwidth } from './bandwidth/measure.ts';
import { environment } from './environment.ts';
import { parsePlan, USAGE, WITHOUT_VM, type Measured, type Plan } from './plan.ts';
import { barsOf, tableOf } from './report.ts';
import type { Series } from './statistics.ts';
import { unpacked } from './tools.ts';

const DEADLINE_MS = 30 * 60_000;

async function measure(plan: Plan): Promise<Measured> {
  await using lab = await Lab.start();
  const interrupt = () => void lab.stop().finally(() => process.exit(130));
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  await lab.assertNoWayOut();
  const inLab = async <T>(argv: readonly string[]): Promise<T> => {
    const { stdout } = await lab.exec(argv, { timeoutMs: DEADLINE_MS, check: true });
    return JSON.parse(stdout) as T;
  };
  const withVms = plan.parts.some((part) => !WITHOUT_VM.includes(part));
  const measured: Measured = withVms
    ? await inLab([process.execPath, `${TREE}/bench/inside.ts`, JSON.stringify(plan)])
    : { accelerator: undefined, series: [] };
  const { turns, seconds } = plan;
  // In a namespace of its own: nothing but a loopback is in the way.
  const inside = async (part: 'dns' | 'proxy', its: DnsPlan | ProxyPlan) => {
    const argv = [process.execPath, `${TREE}/bench/${part}/inside.ts`, JSON.stringify(its)];
    measured.series.push(...(await inLab<Series[]>(['unshare', '--net', ...argv])));
  };
  if (plan.parts.includes('dns')) {
    const tools = await unpacked(['dnsmasq-base', 'unbound', 'dnsperf']);
    await inside('dns', { tools, turns, seconds });
  }
  if (plan.parts.includes('proxy')) {
    await inside('proxy', { tools: await unpacked(['haproxy', 'unbound']), turns });
  }
  if (plan.parts.includes('networks')) {
    const its: NetworksPlan = { beside: [1, 100, 250], turns };
    const argv = [process.execPath, `${TREE}/bench/networks/inside.ts`, JSON.stringify(its)];
    measured.series.push(...(await inLab<Series[]>(argv)));
  }
  if (plan.parts.includes('bandwidth')) measured.series.push(...(await measureBandwidth(lab)));
  return measured;
}

async function main(args: readonly string[]): Promise<void> {
  const plan = parsePlan(args);
  if (plan === 'help') {
    process.stdout.write(USAGE);
    return;
  }
  const host = await environment();
  const { accelerator, series } = await measure(plan);
  const where = { ...host, accelerator };
  const report = { environment: where, plan, bars: barsOf(series), series };
  const json = `${JSON.stringify(report, null, 2)}\n`;
  const table = tableOf(where, series);
  if (plan.json === '-') {
    process.stderr.write(table);
    process.stdout.write(json);
    return;
  }
  process.stdout.write(table);
  if (plan.json !== null) writeFileSync(plan.json, json);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`bench: ${messageOf(error)}\n`);
  process.exitCode = exitCodeOf(asFailure(error));
}
