import { rmSync } from 'node:fs';
import { messageOf } from '../host/failure.ts';
import * as links from '../net/vm-links.ts';
import { meetAgent } from './boot.ts';
import { directoriesOf, networkOf, type Context, type LiveVm } from './context.ts';
import { runTeardown, type Step } from './steps.ts';

const RECONNECT_DEADLINE_MS = 30_000;

/** Takes a VM among those that run, and follows it to its end. */
export function goLive(context: Context, id: string, live: LiveVm): void {
  context.live.set(id, live);
  void keepAgent(context, id, live);
  void live.machine.ended.then(async () => {
    context.live.delete(id);
    live.agent.close();
    try {
      await context.turns.run(id, () => settle(context, id));
    } catch (error) {
      context.log.error({ vm: id, error: messageOf(error) }, 'clean-up after a VM that ended');
    }
  });
}

/** Connects again whenever the agent ends the connection. One that does not answer is left alone. */
async function keepAgent(context: Context, id: string, live: LiveVm): Promise<void> {
  for (;;) {
    await live.agent.closed;
    if (context.live.get(id) !== live) return;
    try {
      live.agent = await meetAgent(live.machine, RECONNECT_DEADLINE_MS);
    } catch (error) {
      context.log.warn({ vm: id, error: messageOf(error) }, 'the agent is lost');
      return;
    }
  }
}

/** After a VM's end that nobody asked for (the guest powered off): it is stopped, its disk kept. */
async function settle(context: Context, id: string): Promise<void> {
  const vm = context.store.vms().find((known) => known.id === id);
  if (vm?.state !== 'running') return;
  context.store.updateVm({ ...vm, state: 'stopped', process: null });
  await runTeardown('clean up', releaseSteps(context, vm));
}

/** Takes away all that a VM has only while it runs. Anchor last. */
export function releaseSteps(context: Context, vm: { id: string; slot: number }): Step[] {
  const network = networkOf(context, vm);
  return [
    { name: 'end the machine', do: () => context.live.get(vm.id)?.machine.kill() },
    {
      name: 'shut its link out of the host’s table',
      do: () => context.sharedNetwork.detach(vm.id),
    },
    { name: 'remove its link', do: () => links.removeHostLink(network) },
    { name: 'remove its network namespace', do: () => links.removeNetns(network) },
    {
      name: 'remove its sockets',
      do: () => rmSync(directoriesOf(context, vm.id).run, { recursive: true, force: true }),
    },
  ];
}
