// oxlint-disable-next-line eslint/no-restricted-imports -- the moment of a kill is what is drawn, nothing is waited for
import { setTimeout as pause } from 'node:timers/promises';
import { Lab } from '../lab/lab.ts';
import { seeded } from '../lab/random.ts';
import { until } from '../lab/until.ts';
import { hostState } from '../vm/host-state.ts';
import { Sender } from '../vm/sender/sender.ts';
import { FORBIDDEN, targetOf, TARGETS } from './policies.ts';
import { StormVm, type Sky } from './vm.ts';

export interface StormOptions {
  vms: number;
  /** How often the daemon is killed (-9). */
  kills: number;
  seed: number;
  /** Told of progress. */
  say?: (line: string) => void;
}

export interface StormReport {
  /** What must not be, one finding a line. Empty: nothing was left and nothing was open. */
  findings: string[];
  /** How often each command did what it was to do. */
  done: Record<string, number>;
  /** How many frames the VMs' TAPs took. */
  frames: number;
}

/**
 * When a kill comes, after the daemon began: within the first moment, while it
 * takes up what it finds; within a few seconds; or so many commands later, so
 * that there is always something to kill it at, however busy the host.
 */
const SOON_MS = 400;
const LATER_MS = 5_000;
const NO_LATER_THAN_MS = 30_000;

/**
 * VMs with policies of their own, all at the same time created, exec'd, changed,
 * stopped, started and removed, while the daemon is killed at random moments.
 * Frames to everywhere are sent on every TAP throughout.
 */
export async function storm(options: StormOptions): Promise<StormReport> {
  const { vms: count, say = () => {} } = options;
  await using lab = await Lab.start();
  await lab.assertNoWayOut();
  await using sender = await Sender.start(lab, [...TARGETS, ...FORBIDDEN]);
  await lab.vmsan(['daemon', 'start'], { check: true });
  const clean = await hostState(lab);
  const mark = await lab.mark();

  const findings: string[] = [];
  const done: Record<string, number> = {};
  /** Another one before and after each kill: what saw two of them may have been cut off. */
  let epoch = 0;
  const sky: Sky = {
    lab,
    epoch: () => epoch,
    found: (what) => {
      findings.push(what);
      say(`FOUND ${what}`);
    },
    done: (verb) => (done[verb] = (done[verb] ?? 0) + 1),
  };
  const random = seeded(options.seed);
  const vms = Array.from({ length: count }, (_, index) => {
    return new StormVm(sky, index, seeded(options.seed + index + 1));
  });

  let over = options.kills === 0;
  const working = vms.map(async (vm) => {
    while (!over) await vm.step();
  });
  let killed = '';
  for (let kills = 1; kills <= options.kills; kills += 1) {
    killed = await nextDaemon(lab, killed);
    const [kind, moment] = [random(), random()];
    if (kind < 0.5) await commands(done, Math.floor(moment * count));
    await pause(moment * (kind < 0.75 ? SOON_MS : LATER_MS));
    epoch += 1;
    await lab.exec(['kill', '-9', killed]);
    epoch += 1;
    if (kills % 10 === 0) say(`${kills} kills; ${told(done)}`);
  }
  over = true;
  await Promise.all(working);

  // Now that nobody kills any more: all of them, whole, at once.
  await Promise.all(vms.map((vm) => settle(sky, vm)));
  await Promise.all(vms.map((vm) => vm.change().then(() => vm.check())));
  const frames = await sender.taken();
  await Promise.all(vms.map((vm) => vm.remove()));
  const left = await hostState(lab);
  if (left !== clean) findings.push(`left over:\n${difference(clean, left)}`);
  for (const address of FORBIDDEN) {
    const packets = await lab.packetsTo(address, { since: mark });
    if (packets > 0) findings.push(`${packets} packets came to ${address}`);
  }
  findings.push(...(await strangers(lab, vms)));
  return { findings, done, frames };
}

/** Resolves when so many more commands have done what they were to do, or none has for long. */
async function commands(done: Record<string, number>, more: number): Promise<void> {
  const sum = () => Object.values(done).reduce((total, times) => total + times, 0);
  const wanted = sum() + more;
  const deadlineMs = NO_LATER_THAN_MS;
  await until('so many commands are done', () => sum() >= wanted, { deadlineMs }).catch(() => {});
}

/** Makes sure that it runs under a policy that is known. */
async function settle(sky: Sky, vm: StormVm): Promise<void> {
  const now = await vm.look();
  if (now === undefined) await vm.create();
  else if (now !== 'unknown' && now.state === 'stopped') await vm.start();
  const after = await vm.look();
  if (after === undefined || after === 'unknown' || after.state !== 'running') {
    sky.found(`${vm.name} does not run in the end`);
    return;
  }
  await vm.check();
}

/** Datagrams that carry their sender's id and came to an address that was never its own. */
async function strangers(lab: Lab, vms: readonly StormVm[]): Promise<string[]> {
  const ids = new Map(vms.flatMap((vm) => [...vm.ids].map((id) => [id, vm] as const)));
  const seen = new Map<string, Set<string>>();
  for (const { server, protocol, line, address } of await lab.log()) {
    if (server !== 'echo' || protocol !== 'udp' || line === undefined) continue;
    seen.set(line, (seen.get(line) ?? new Set()).add(address));
  }
  const findings: string[] = [];
  if (seen.size === 0) findings.push('no frame came through where it may');
  for (const [id, addresses] of seen) {
    const vm = ids.get(id);
    // One that was never told of, because its creation was cut off, still had one target only.
    const good =
      vm === undefined
        ? addresses.size === 1
        : [...addresses].every((address) => address === targetOf(vm.index));
    if (!good)
      findings.push(`${id} (${vm?.name ?? 'never told of'}) reached ${[...addresses].join(', ')}`);
  }
  return findings;
}

/**
 * The process id, inside the lab, of the daemon after the one that was killed.
 * Whoever works on a VM starts one when there is none.
 */
async function nextDaemon(lab: Lab, killed: string): Promise<string> {
  const argv = ['pgrep', '-f', 'bundle-[0-9a-f]*/daemon.js'];
  return await until(
    'a daemon runs',
    async () => (await lab.exec(argv)).stdout.split('\n').find((pid) => pid !== killed),
    { deadlineMs: 120_000 },
  );
}

function difference(before: string, after: string): string {
  const known = new Set(before.split('\n'));
  const now = new Set(after.split('\n'));
  return [
    ...[...now].filter((line) => !known.has(line)).map((line) => `+ ${line}`),
    ...[...known].filter((line) => !now.has(line)).map((line) => `- ${line}`),
  ].join('\n');
}

export function told(done: Record<string, number>): string {
  return Object.entries(done)
    .map(([verb, times]) => `${verb} ${times}`)
    .join(', ');
}
