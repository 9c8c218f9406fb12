/**
 * vmsan-gate: the process that reads what guests send to the host. It has no
 * privileges, opens no listener and no file of its own, and knows only what
 * vmsand last told it. It outlives vmsand.
 *
 *     2  log, JSON lines                                5  GateService, listening unix socket
 *     3  DNS, bound UDP socket                          6  HTTP proxy, listening TCP socket
 *     4  DNS, listening TCP socket on the same address  7  TLS proxy, listening TCP socket
 *                                                       8  "ready\n" goes here once all are served
 */
import { closeSync, writeSync } from 'node:fs';
import pino from 'pino';
import { createExchange } from '../dns/exchange.ts';
import { createLookup } from '../dns/lookup.ts';
import { createResolver } from '../dns/resolver.ts';
import { serveTcp } from '../dns/tcp-server.ts';
import { serveUdp } from '../dns/udp-server.ts';
import { messageOf } from '../host/failure.ts';
import { serveControl } from './control.ts';
import { decideNames } from './decide.ts';
import { Decisions, decidedOf } from './decisions.ts';
import { parseGuest } from './guest.ts';
import { Leases } from './leases.ts';
import { renew } from './names.ts';
import { serveProxy } from './proxy.ts';
import { boundedReport } from './report.ts';
import { EMPTY_SNAPSHOT, parseSnapshot } from './snapshot.ts';

const FD = { log: 2, udp: 3, tcp: 4, control: 5, http: 6, tls: 7, ready: 8 } as const;

const destination = pino.destination({ dest: FD.log, sync: true });
// A log that cannot be written must not end the gate.
destination.on('error', () => {});
const logger = pino({ name: 'vmsan-gate' }, destination);

async function main(): Promise<void> {
  const build = process.env['VMSAN_BUILD'] ?? 'unknown';
  const report = boundedReport(logger);
  let snapshot = EMPTY_SNAPSHOT;
  const guestOf = (source: string) => snapshot.guests.get(source);
  const guestOfVm = (vmId: string) =>
    [...snapshot.guests.values()].find((guest) => guest.vmId === vmId);

  const upstreams = () => snapshot.upstreams;
  const lookup = createLookup({ exchange: createExchange({ upstreams }), upstreams });
  const leases = new Leases();
  const decisions = new Decisions();
  const resolve = createResolver({
    guestOf,
    decide: decideNames(leases),
    lookup,
    report,
    record: (guest, outcome) => decisions.record(guest.vmId, decidedOf(outcome)),
  });
  const udp = await serveUdp(FD.udp, resolve, report);
  const tcp = await serveTcp(FD.tcp, { resolve, guestOf, report });
  const proxy = await serveProxy(FD, { guestOf, lookup, decisions, report });
  const control = await serveControl(FD.control, {
    build,
    apply: (request) => {
      snapshot = parseSnapshot(request, snapshot);
      tcp.closeStrangers();
      decisions.keepOnly(new Set([...snapshot.guests.values()].map(({ vmId }) => vmId)));
      return proxy.judgeAgain();
    },
    watchLeases: (signal) => leases.watch(signal),
    acknowledgeLeases: (id, refused) => leases.acknowledge(id, refused),
    renew: (vmId, names) => renew({ lookup, leases, guestOf: guestOfVm }, vmId, names),
    watchDecisions: (signal) => decisions.watch(signal),
    connections: (vmId) => proxy.connections(vmId),
    wouldEnd: ({ guest, vmPools, hostAddresses }) =>
      guest === undefined
        ? 0
        : proxy.wouldEnd(parseGuest(guest, { vmPools, hostAddresses }, undefined)),
  });

  // The terminal or session that vmsand was started from may go.
  process.on('SIGHUP', () => {});
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      logger.info({ signal }, 'stopping');
      for (const server of [udp, tcp, proxy, control]) server.close();
      process.exit(0);
    });
  }
  const { http, tls } = proxy;
  const addresses = { udp: udp.address, tcp: tcp.address, http, tls };
  logger.info({ build, ...addresses }, 'ready');
  writeSync(FD.ready, 'ready\n');
  closeSync(FD.ready);
}

main().catch((error: unknown) => {
  logger.fatal({ error: messageOf(error) }, 'the gate could not start');
  process.exit(1);
});
