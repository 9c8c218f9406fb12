import { closeSync, mkdirSync, chmodSync, rmSync, writeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { buildId } from '../api/build.ts';
import { toFailure } from '../api/errors.ts';
import { identityOf } from '../api/handshake.ts';
import { loadSettings, type Settings } from '../api/settings.ts';
import { socketPath } from '../api/socket.ts';
import { hostTscKhz } from '../guest/tsc.ts';
import { Failure, isErrno, messageOf } from '../host/failure.ts';
import { KeyedMutex, Places } from '../host/mutex.ts';
import { locateImages } from '../image/images.ts';
import { planHost } from '../net/plan.ts';
import { LeaseStore } from '../store/leases.ts';
import { Store } from '../store/store.ts';
import { TrafficStore } from '../store/traffic.ts';
import { startAgain } from './autostart.ts';
import type { Context } from './context.ts';
import { openControlGroups } from './control-groups.ts';
import { Events } from './events.ts';
import { followDecisions } from './decision-feed.ts';
import { followLeases } from './lease-feed.ts';
import { keepLookingAround } from './host-watch.ts';
import { keepRenewing } from './lease-renewal.ts';
import { HeldPorts } from './held-ports.ts';
import { Leases } from './leases.ts';
import { becomeOnlyDaemon, forgetLock } from './lock.ts';
import { serveMetrics } from './metrics-server.ts';
import { makeNetworksAhead } from './networks-ahead.ts';
import { reconcile } from './reconcile.ts';
import { surroundingsOf } from './policy.ts';
import { removeVm } from './remove.ts';
import { RulesWatch } from './rules-watch.ts';
import { serve } from './server.ts';
import type { DaemonProcess } from './service.ts';
import { SharedNetwork } from './shared-network.ts';
import { watchStalls } from './stalls.ts';
import { Traffic, watchedOf } from './traffic.ts';
import { upstreamsOf } from './upstreams.ts';

/** The descriptor on which whoever starts vmsand hears one line: `ready`, or `error {…}`. */
const READY_FD = 3;

async function main(): Promise<void> {
  process.umask(0o077);
  const settings = loadSettings();
  if (process.geteuid?.() !== 0) throw new Failure('unavailable', 'vmsand must run as root');
  for (const directory of [settings.stateDir, settings.runDir]) makeOpenDirectory(directory);
  becomeOnlyDaemon(settings.runDir);
  const context = openContext(settings);
  await serveMetrics(context);
  // Takes a tenth of a second, which the first boot need not wait for.
  hostTscKhz().catch(() => {});
  context.traffic.keepOnly(context.store.vms().map(({ id }) => id));
  await reconcile(context);
  context.traffic.keepLooking(() => context.leases.running().map(([id]) => id));
  keepRenewing(
    context.leases,
    (id, names) => context.sharedNetwork.renew(id, names),
    (vm, error) => context.log.warn({ vm, error: messageOf(error) }, 'leases cannot be renewed'),
  );
  void keepLookingAround(context.sharedNetwork, (error) => {
    context.log.warn({ error: messageOf(error) }, 'the host cannot be followed');
  });
  let purge: boolean | null = null;
  const daemon: DaemonProcess = {
    build: buildId(),
    startedAtMs: Date.now(),
    async stop(options) {
      const removed = options.purge ? await removeAll(context) : 0;
      purge = options.purge;
      return removed;
    },
    answered() {
      if (purge !== null) leave(context, purge);
    },
  };
  watchStalls(context);
  await serve(context, daemon, identityOf(settings), socketPath(settings));
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => leave(context, false));
  }
  // The terminal that started us may close.
  process.on('SIGHUP', () => {});
  context.log.info({ pid: process.pid, build: buildId() }, 'ready');
  report('ready');
  await startAgain(context);
  makeNetworksAhead(context);
}

function openContext(settings: Settings): Context {
  const store = new Store(settings.stateDir);
  const log = pino({ base: null }, pino.destination(2));
  const host = planHost(settings);
  const warn = (about: string) => (vm: string, error: unknown) =>
    log.warn({ vm, error: messageOf(error) }, about);
  const leases = new Leases({
    store: new LeaseStore(settings.stateDir),
    world: () => surroundingsOf(host),
    onError: warn('leases are refused'),
  });
  const traffic = new Traffic({
    store: new TrafficStore(settings.stateDir),
    running: (id) => watchedOf(leases, host, id),
    isKnown: (id) => store.vms().some((vm) => vm.id === id),
    onError: (error) => log.warn({ error }, 'traffic'),
  });
  const events = new Events();
  for (const directory of [settings.stateDir, settings.runDir]) {
    makeOpenDirectory(join(directory, 'vms'));
  }
  const rules: RulesWatch = new RulesWatch(() => context);
  const context: Context = {
    settings,
    log,
    store,
    host,
    images: () => locateImages(),
    sharedNetwork: new SharedNetwork({
      host,
      runDir: settings.runDir,
      lent: {
        list: () => store.lentSysctls(),
        add: ({ path, before }) => store.addLentSysctl(path, before),
        clear: () => store.clearLentSysctls(),
      },
      upstreams: () => upstreamsOf(settings.dns),
      readyNetworks: settings.readyNetworks,
      onGate: (gate) => {
        void followLeases(gate, leases, (error) => log.warn({ error }, 'leases of the gate'));
        void followDecisions(gate, traffic, (error) =>
          log.warn({ error }, 'decisions of the gate'),
        );
      },
      onUse: (used) => rules.want(used),
      onRestart: () => events.add('gate', null, 'it had ended and was started again'),
      onError: (error) => log.error({ error: messageOf(error) }, 'the gate'),
      onRefusals: (refusals) => log.warn({ refusals }, 'other firewalls'),
    }),
    leases,
    traffic,
    heldPorts: new HeldPorts(host),
    events,
    controlGroups: openControlGroups(store),
    live: new Map(),
    audits: new Set(),
    turns: new KeyedMutex(),
    boots: new Places(availableParallelism()),
  };
  return context;
}

/** What others may pass through but not list: each VM's uid goes to its own directory. */
function makeOpenDirectory(path: string): void {
  mkdirSync(path, { recursive: true });
  chmodSync(path, 0o711);
}

async function removeAll(context: Context): Promise<number> {
  const vms = context.store.vms();
  await Promise.all(vms.map(({ id }) => removeVm(context, id, { force: true })));
  return vms.length;
}

/** VMs, the gate and the kernel's rules stay as they are: the next daemon takes them up. */
function leave(context: Context, purge: boolean): void {
  context.traffic.write();
  context.store.close();
  rmSync(socketPath(context.settings), { force: true });
  if (purge) {
    rmSync(context.settings.runDir, { recursive: true, force: true });
    rmSync(context.settings.stateDir, { recursive: true, force: true });
    forgetLock();
  }
  process.exit(0);
}

/** Tells whoever started us, when there is someone (a systemd unit has no descriptor 3). */
function report(line: string): void {
  try {
    writeSync(READY_FD, `${line}\n`);
    closeSync(READY_FD);
  } catch (error) {
    if (!isErrno(error, 'EBADF', 'EPIPE')) throw error;
  }
}

try {
  await main();
} catch (error) {
  const { code, message, hint } = toFailure(error);
  report(`error ${JSON.stringify({ code, message, hint })}`);
  console.error(error);
  process.exit(1);
}
