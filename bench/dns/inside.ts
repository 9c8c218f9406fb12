/**
 * Runs in a network namespace with nothing but a loopback: measures resolvers
 * as the plan (JSON, the argument) says, in turns, and prints Series as JSON.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../src/host/run.ts';
import type { Series } from '../statistics.ts';
import { programOf, type Tools } from '../tools.ts';
import {
  startDnsmasq,
  startGate,
  startUnboundResolver,
  startUpstream,
  ZONE,
  type Running,
  type Server,
} from './servers.ts';

export interface DnsPlan {
  tools: Tools;
  /** Of each resolver. */
  turns: number;
  /** Of each turn. */
  seconds: number;
}

const plan = JSON.parse(process.argv[2] ?? '') as DnsPlan;
const CACHED_NAMES = 200;
/** More than any of them answers in a round. */
const NEW_NAMES_A_SECOND = 60_000;

/** Milliseconds for 1000 answers. */
async function ask(server: Server, names: string): Promise<number> {
  const argv = [
    ...[
      programOf(plan.tools, 'dnsperf'),
      '-s',
      server.address,
      '-p',
      String(server.port),
      '-d',
      names,
    ],
    ...['-l', String(plan.seconds), '-c', '8', '-q', '96', '-t', '5'],
  ];
  const { stdout } = await run(argv, { timeoutMs: 120_000, env: plan.tools.env });
  const completed = Number(/Queries completed:\s+(\d+)/.exec(stdout)?.[1]);
  const took = Number(/Run time \(s\):\s+([\d.]+)/.exec(stdout)?.[1]);
  const good = Number(/NOERROR (\d+)/.exec(stdout)?.[1] ?? 0);
  if (!(completed > 0) || good < completed * 0.99) throw new Error(`${server.name}: ${stdout}`);
  return (took * 1e6) / completed;
}

async function measure(
  dir: string,
  kind: 'cached' | 'miss',
  what: string,
  servers: readonly Running[],
): Promise<Series[]> {
  const series = servers.map(({ name }) => ({
    name: `dns/${kind}/${name}`,
    what,
    samples: [] as number[],
  }));
  const file = join(dir, 'names');
  let next = 0;
  const some = (count: number) => {
    const from = kind === 'cached' ? 0 : next;
    if (kind === 'miss') next += count;
    const lines = Array.from({ length: count }, (_, i) => `n${from + i}.${ZONE} A\n`);
    writeFileSync(file, lines.join(''));
  };
  for (let round = -1; round < plan.turns; round++) {
    for (const [index, server] of servers.entries()) {
      some(kind === 'cached' ? CACHED_NAMES : NEW_NAMES_A_SECOND * plan.seconds);
      const ms = await ask(server, file);
      // The first round warms caches and compilers.
      if (round >= 0) series[index]!.samples.push(ms);
    }
  }
  return series;
}

const dir = mkdtempSync(join(tmpdir(), 'vmsan-dns-'));
const running: Running[] = [];
try {
  await run(['ip', 'link', 'set', 'lo', 'up']);
  // The gate's user reads its program there.
  chmodSync(dir, 0o755);
  mkdirSync(join(dir, 'gate'));
  running.push(await startUpstream(plan.tools, dir));
  const others = [await startDnsmasq(plan.tools), await startUnboundResolver(plan.tools, dir)];
  running.push(...others);
  const unleased = await startGate(join(dir, 'gate'), false);
  const series = await measure(dir, 'cached', '1000 cached answers', [unleased, ...others]);
  await unleased.stop();
  const leased = await startGate(join(dir, 'gate'), true);
  running.push(leased);
  const miss = '1000 answers from upstream (vmsan, dnsmasq: after its address is in a set)';
  series.push(...(await measure(dir, 'miss', miss, [leased, ...others])));
  process.stdout.write(JSON.stringify(series));
} finally {
  for (const server of running) await server.stop();
  rmSync(dir, { recursive: true, force: true });
}
process.exit();
