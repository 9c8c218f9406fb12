import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { Resolver } from 'node:dns/promises';
import { join } from 'node:path';
import { followLeases } from '../../src/daemon/lease-feed.ts';
import { Gate } from '../../src/daemon/gate.ts';
import { Leases } from '../../src/daemon/leases.ts';
import { nftables } from '../../src/host/nft.ts';
import { planHost, planVm } from '../../src/net/plan.ts';
import { readPolicy, type Surroundings } from '../../src/policy/policy.ts';
import { LeaseStore } from '../../src/store/leases.ts';
import { programOf, type Tools } from '../tools.ts';
import { until } from '../../test/lab/until.ts';

/** Every name below it has one address. */
export const ZONE = 'bench.example';
export const ADDRESS = '198.51.100.10';
const PORT = 5432;
const UPSTREAM = '127.0.0.53';

/** A resolver that is measured. */
export interface Server {
  name: string;
  address: string;
  port: number;
}

export interface Running extends Server {
  stop: () => Promise<void>;
}

/** The one that all of them ask: it knows every answer at once. */
export function startUpstream(tools: Tools, dir: string): Promise<Running> {
  const zone = `local-zone: "${ZONE}." redirect\n local-data: "${ZONE}. 600 A ${ADDRESS}"`;
  return startUnbound(tools, dir, { name: 'upstream', address: UPSTREAM, port: 53 }, zone, '');
}

export function startUnboundResolver(tools: Tools, dir: string): Promise<Running> {
  const server = { name: 'unbound', address: '127.0.0.3', port: 53 };
  const forward = `forward-zone:\n name: "."\n forward-addr: ${UPSTREAM}`;
  return startUnbound(tools, dir, server, 'do-not-query-localhost: no', forward);
}

async function startUnbound(
  tools: Tools,
  dir: string,
  server: Server,
  options: string,
  more: string,
): Promise<Running> {
  const file = join(dir, `${server.name}.conf`);
  const text = `server:
 interface: ${server.address}
 port: ${server.port}
 username: ""
 chroot: ""
 directory: "${dir}"
 pidfile: ""
 use-syslog: no
 do-daemonize: no
 num-threads: 1
 module-config: "iterator"
 access-control: 127.0.0.0/8 allow
 msg-cache-size: 64m
 rrset-cache-size: 128m
 ${options}
${more}
`;
  writeFileSync(file, text);
  return started(server, start(tools, 'unbound', ['-d', '-c', file]));
}

/** With a set that each answer's address is put into before the answer is sent. */
export function startDnsmasq(tools: Tools): Promise<Running> {
  nftables(
    undefined,
    'table inet dnsmasq { set leased { type ipv4_addr; flags timeout; timeout 1m; }; }',
  );
  const argv = [
    ...[
      '--keep-in-foreground',
      '--conf-file=/dev/null',
      '--no-resolv',
      '--no-hosts',
      '--user=root',
    ],
    ...['--listen-address=127.0.0.2', '--bind-interfaces', '--port=53', '--pid-file='],
    ...[`--server=${UPSTREAM}`, '--cache-size=10000', '--dns-forward-max=10000'],
    `--nftset=/${ZONE}/4#inet#dnsmasq#leased`,
  ];
  const server = { name: 'dnsmasq', address: '127.0.0.2', port: 53 };
  return started(server, start(tools, 'dnsmasq', argv));
}

/**
 * vmsan-gate and, in this process, what vmsand does with leases: each is
 * checked, put into the kernel's set and written down.
 * @param port of the rule; undefined: names whose ports are the proxy's, which nothing waits for
 */
export async function startGate(
  dir: string,
  leased: boolean,
  guestIp = '127.0.0.1',
): Promise<Running> {
  const pools = { subnetPool: '172.16.0.0/16', transitPool: '10.200.0.0/16' };
  const host = { ...planHost(pools), gateIp: '127.0.0.1' };
  const network = { ...planVm(pools, 1, 'vm-00000001'), netnsPath: '/proc/self/ns/net' };
  const world: Surroundings = { vmPools: Object.values(pools), hostAddresses: [] };
  const rule = leased ? `*.${ZONE}:${PORT}` : `*.${ZONE}`;
  const { policy } = readPolicy({ allowedDomains: [rule] }, world);
  const vm = { id: 'vm-00000001', policy, generation: 1 };
  nftables(
    undefined,
    'table inet vmsan { set learned { typeof ip daddr . meta l4proto . th dport; flags timeout, interval; }; }',
  );
  mkdirSync(dir, { recursive: true });
  const onError = (...why: string[]) => process.stderr.write(`${why.join(' ')}\n`);
  const store = new LeaseStore(dir);
  const leases = new Leases({ store, world: () => world, onError });
  leases.begin(vm, network);
  const gate = await Gate.launch(host, dir);
  const guest = { guestIp, vmId: vm.id, policy, generation: 1 };
  await gate.setSnapshot([guest], [{ address: UPSTREAM, port: 53 }], world);
  void followLeases(gate, leases, onError);
  const server = { name: 'vmsan', address: '127.0.0.1', port: host.dnsPort };
  if (guestIp === '127.0.0.1') await answers(server);
  return {
    ...server,
    stop: async () => {
      await gate.stop();
      store.close();
      nftables(undefined, 'delete table inet vmsan');
    },
  };
}

function start(tools: Tools, name: string, args: readonly string[]): ChildProcess {
  const env = { ...process.env, ...tools.env };
  return spawn(programOf(tools, name), [...args], { stdio: 'ignore', env });
}

async function started(server: Server, child: ChildProcess): Promise<Running> {
  await answers(server);
  return {
    ...server,
    stop: async () => {
      const gone = once(child, 'exit');
      child.kill();
      await gone;
    },
  };
}

async function answers({ name, address, port }: Server): Promise<void> {
  const resolver = new Resolver({ timeout: 500, tries: 1 });
  resolver.setServers([`${address}:${port}`]);
  await until(`${name} answers`, async () => {
    try {
      return (await resolver.resolve4(`first.${ZONE}`)).length > 0;
    } catch {
      return false;
    }
  });
}
