/**
 * Runs in a network namespace with nothing but a loopback: TLS by name through
 * vmsan-gate, through haproxy and by the kernel's NAT (which knows no names),
 * in turns. The plan is the argument, JSON; prints Series as JSON.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nftables } from '../../src/host/nft.ts';
import { planHost } from '../../src/net/plan.ts';
import { run } from '../../src/host/run.ts';
import { TREE } from '../../test/lab/paths.ts';
import { until } from '../../test/lab/until.ts';
import { CLIENT } from './client-address.ts';
import { ADDRESS, startGate, startUpstream } from '../dns/servers.ts';
import type { Series } from '../statistics.ts';
import { programOf, type Tools } from '../tools.ts';

export interface ProxyPlan {
  tools: Tools;
  /** Of each way. */
  turns: number;
}

const plan = JSON.parse(process.argv[2] ?? '') as ProxyPlan;
const PORT = 443;
const BULK_BYTES = 400_000_000;
const CONNECTIONS = 2000;
const ROUND_TRIPS = 200;
const HAPROXY = '127.0.0.2';
const NAT = '127.0.0.4';

const MODES = [
  { mode: 'bulk', amount: BULK_BYTES, per: 4, what: '100 MB through one connection' },
  { mode: 'connections', amount: CONNECTIONS, per: 2, what: '1000 connections, 16 at a time' },
  { mode: 'latency', amount: ROUND_TRIPS, per: 1, what: 'one connection to its first byte' },
] as const;

interface Way {
  name: string;
  address: string;
  port: number;
}

/** One thread, as the gate has. */
const haproxyConfig = `
global
  maxconn 4000
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend tls
  bind ${HAPROXY}:${PORT}
  tcp-request inspect-delay 5s
  tcp-request content accept if { req.ssl_sni -m end .bench.example }
  tcp-request content reject if WAIT_END
  default_backend server
backend server
  server one ${ADDRESS}:${PORT}
`;

async function startHaproxy(dir: string): Promise<() => Promise<void>> {
  const file = join(dir, 'haproxy.cfg');
  writeFileSync(file, haproxyConfig);
  const env = { ...process.env, ...plan.tools.env };
  const argv = ['-db', '-f', file];
  const child = spawn(programOf(plan.tools, 'haproxy'), argv, { stdio: 'ignore', env });
  await until('haproxy listens', async () => {
    const socket = connect(PORT, HAPROXY);
    await once(socket, 'connect');
    socket.destroy();
    return true;
  });
  return ended(child);
}

async function startServer(): Promise<() => Promise<void>> {
  const argv = [`${TREE}/bench/proxy/server.ts`, ADDRESS, String(PORT), String(BULK_BYTES)];
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return ended(child);
}

function ended(child: ReturnType<typeof spawn>): () => Promise<void> {
  return async () => {
    const gone = once(child, 'exit');
    child.kill();
    await gone;
  };
}

async function measure(ways: readonly Way[]): Promise<Series[]> {
  const all: Series[] = [];
  for (const { mode, amount, per, what } of MODES) {
    const series = ways.map(({ name }) => ({
      name: `proxy/${mode}/${name}`,
      what,
      samples: [] as number[],
    }));
    for (let round = -1; round < plan.turns; round++) {
      for (const [index, { address, port }] of ways.entries()) {
        const client = [process.execPath, `${TREE}/bench/proxy/client.ts`];
        const argv = [...client, mode, address, String(amount), String(port)];
        const { stdout } = await run(argv, { timeoutMs: 120_000 });
        const samples = (JSON.parse(stdout) as number[]).map((ms) => ms / per);
        // The first round warms compilers.
        if (round >= 0) series[index]!.samples.push(...samples);
      }
    }
    all.push(...series);
  }
  return all;
}

const dir = mkdtempSync(join(tmpdir(), 'vmsan-proxy-'));
const stops: (() => Promise<void>)[] = [];
try {
  await run(['ip', 'link', 'set', 'lo', 'up']);
  await run(['ip', 'address', 'add', `${ADDRESS}/32`, 'dev', 'lo']);
  nftables(
    undefined,
    `table ip bench { chain output { type nat hook output priority -100;
      ip daddr ${NAT} tcp dport ${PORT} dnat to ${ADDRESS}; }; }`,
  );
  // The gate's user reads its program there.
  chmodSync(dir, 0o755);
  mkdirSync(join(dir, 'gate'));
  stops.push((await startUpstream(plan.tools, dir)).stop);
  stops.push(await startServer());
  stops.push(await startHaproxy(dir));
  const gate = await startGate(join(dir, 'gate'), false, CLIENT);
  stops.push(gate.stop);
  const { tlsPort } = planHost({ subnetPool: '172.16.0.0/16', transitPool: '10.200.0.0/16' });
  const series = await measure([
    { name: 'vmsan', address: gate.address, port: tlsPort },
    { name: 'haproxy', address: HAPROXY, port: PORT },
    { name: 'nat', address: NAT, port: PORT },
  ]);
  process.stdout.write(JSON.stringify(series));
} finally {
  for (const stop of stops.toReversed()) await stop();
  rmSync(dir, { recursive: true, force: true });
}
process.exit();
