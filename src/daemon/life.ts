import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { Failure, messageOf } from '../host/failure.ts';
import {
  killProcess,
  processesOfUsers,
  waitUntilGone,
  type ProcessIdentity,
} from '../host/process.ts';
import { vmUid } from '../net/plan.ts';
import { forgetEntered } from '../net/entered-flows.ts';
import * as links from '../net/vm-links.ts';
import type { VmRecord, VmState } from '../store/store.ts';
import { meetAgent } from './boot.ts';
import { networkOf, type Context, type LiveVm, type NetworkOwner } from './context.ts';
import { removeRunDirectory } from './directories.ts';
import { runTeardown, type Step } from './steps.ts';

const RECONNECT_DEADLINE_MS = 30_000;
/** A connection that lasts this long was a good one: after it the next comes at once. */
const STEADY_MS = 10_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 30_000;
const END_DEADLINE_MS = 10_000;

/** Takes a VM among those that run, and follows it to its end. */
export function goLive(context: Context, id: string, live: LiveVm): void {
  context.live.set(id, live);
  void keepAgent(context, id, live);
  void live.machine.ended.then(async () => {
    if (context.live.get(id) === live) context.live.delete(id);
    try {
      await context.turns.run(id, () => settle(context, id, live));
    } catch (error) {
      context.log.error({ vm: id, error: messageOf(error) }, 'clean-up after a VM that ended');
    }
  });
}

/**
 * Connects again whenever the agent ends the connection, or does not answer. The
 * shorter a connection lasts, the longer is the pause before the next: a hostile
 * agent costs its VM, and the daemon next to nothing.
 */
async function keepAgent(context: Context, id: string, live: LiveVm): Promise<void> {
  const gone = () => context.live.get(id) !== live || live.leaving === true;
  for (let pauseMs = 0; ;) {
    const since = performance.now();
    try {
      const agent = await live.agent;
      await agent.closed;
      if (performance.now() - since >= STEADY_MS) pauseMs = 0;
    } catch (error) {
      if (gone()) return;
      if (pauseMs < LONGEST_PAUSE_MS) {
        context.log.warn({ vm: id, error: messageOf(error) }, 'the agent does not answer');
      }
    }
    if (pauseMs > 0) await delay(pauseMs, undefined, { ref: false });
    pauseMs = Math.min(Math.max(FIRST_PAUSE_MS, pauseMs * 2), LONGEST_PAUSE_MS);
    if (gone()) return;
    live.agent = meetAgent(live.machine, RECONNECT_DEADLINE_MS);
  }
}

/** After a VM's end that nobody asked for (the guest powered off): it is stopped, its disk kept. */
async function settle(context: Context, id: string, { machine, leaving }: LiveVm): Promise<void> {
  // Whoever asked for its end takes away what it had.
  if (leaving) return;
  const vm = context.store.vms().find((known) => known.id === id);
  if (vm?.state !== 'running') return;
  // Meanwhile it may have been started again.
  if (!isDeepStrictEqual(vm.process, machine.process)) return;
  const why = context.controlGroups.ranOutOfMemory(id)
    ? 'its QEMU used more memory than its limit'
    : 'it ended by itself';
  await runTeardown('clean up', vm.name, haltSteps(context, vm, why));
}

/**
 * Makes a VM stopped: whatever it has only while it runs is taken away; its disk is kept.
 * @param why it stops, for its event
 */
export function haltSteps(context: Context, vm: VmRecord, why: string): Step[] {
  const record = (state: VmState) => () => {
    context.store.updateVm({ ...vm, state, process: null });
  };
  return [
    { name: 'record that it stops', ofRecord: true, do: record('stopping') },
    ...releaseSteps(context, vm),
    {
      name: 'record that it is stopped',
      ofRecord: true,
      do: () => {
        record('stopped')();
        if (vm.state !== 'stopped') context.events.add('stopped', vm, why);
      },
    },
  ];
}

/** Ends a VM's machine before the turn of the operation that asks for it has come. */
export async function endAtOnce(context: Context, id: string): Promise<void> {
  const live = context.live.get(id);
  if (live === undefined) return;
  live.leaving = true;
  await live.machine.kill();
}

/** Takes away all that a VM has only while it runs. */
export function releaseSteps(context: Context, vm: NetworkOwner & Pick<VmRecord, 'ports'>): Step[] {
  const network = networkOf(context, vm);
  return [
    { name: 'end the machine', do: () => endMachine(context, vm) },
    { name: 'remove its link', do: () => links.removeHostLink(network) },
    {
      name: vm.netns ? 'remove its network namespace' : 'remove its rules',
      do: () => {
        context.traffic.look(vm.id);
        context.leases.end(vm.id);
        return links.removeAnchor(network);
      },
    },
    {
      // What goes on by its ports finds no link, and then no VM that leads to it.
      name: 'forget who came by its ports',
      do: () => (vm.ports.length > 0 ? forgetEntered(network, 'all') : undefined),
    },
    // Not before its link is gone: what is not in the table is not judged by it.
    { name: 'shut it out of the host’s table', do: () => context.sharedNetwork.detach(vm.id) },
    { name: 'let its ports go', do: () => context.heldPorts.release(vm.id, 'all') },
    { name: 'remove its control groups', do: () => context.controlGroups.remove(vm.id) },
    { name: 'remove its sockets', do: () => removeRunDirectory(context, vm.id) },
  ];
}

/** Ends a VM's QEMU and waits for it: an open TAP would keep the netns alive. */
async function endMachine(context: Context, vm: NetworkOwner): Promise<void> {
  const live = context.live.get(vm.id);
  if (live !== undefined) await live.machine.kill();
  // One that no daemon knows of has nobody else's uid.
  else await endProcesses(processesOfUsers((uid) => uid === vmUid(vm.slot)));
}

/** Kills processes and waits until they are gone. @throws Failure `timeout` */
export async function endProcesses(processes: readonly ProcessIdentity[]): Promise<void> {
  for (const process of processes) killProcess(process);
  for (const process of processes) {
    if (await waitUntilGone(process, { deadlineMs: END_DEADLINE_MS })) continue;
    throw new Failure('timeout', `process ${process.pid} does not end`);
  }
}
