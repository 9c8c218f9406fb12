import { readdirSync } from 'node:fs';
import { messageOf } from '../host/failure.ts';
import { run } from '../host/run.ts';
import { NETNS_DIR, vmOfNetns } from '../net/plan.ts';
import { replaceRuleset } from '../net/vm-links.ts';
import type { VmRecord } from '../store/store.ts';
import { qemu } from '../vmm/qemu/qemu.ts';
import { meetAgent } from './boot.ts';
import { directoriesOf, networkOf, type Context } from './context.ts';
import { goLive, releaseSteps } from './life.ts';
import { removeRecorded } from './remove.ts';
import { runTeardown } from './steps.ts';
import type { Attachment } from './shared-network.ts';

const ADOPT_DEADLINE_MS = 15_000;

/**
 * Compares what the records say with what runs, and makes them agree: VMs
 * that run are taken up under a ruleset rendered anew, half-made and
 * half-removed ones are removed, and a netns without a record goes.
 */
export async function reconcile(context: Context): Promise<void> {
  const attachments = new Map<string, Attachment>();
  for (const vm of context.store.vms()) {
    try {
      if (await adopt(context, vm)) {
        attachments.set(vm.id, { network: networkOf(context, vm), policy: vm.policy });
      }
    } catch (error) {
      context.log.error({ vm: vm.id, error: messageOf(error) }, 'cannot be reconciled');
    }
  }
  await removeStrayNetns(context);
  await context.sharedNetwork.adopt(attachments);
}

/** @returns whether the VM runs */
async function adopt(context: Context, vm: VmRecord): Promise<boolean> {
  switch (vm.state) {
    case 'creating':
    case 'removing':
      await removeRecorded(context, vm);
      return false;
    case 'stopped':
      return false;
    case 'running':
      break;
  }
  const { run: runDir } = directoriesOf(context, vm.id);
  const machine = vm.process === null ? null : await qemu.adopt(vm.process, runDir);
  if (machine === null) {
    context.store.updateVm({ ...vm, state: 'stopped', process: null });
    await runTeardown('clean up', releaseSteps(context, vm));
    return false;
  }
  replaceRuleset(networkOf(context, vm), context.host, vm.policy, vm.generation);
  const agent = await meetAgent(machine, ADOPT_DEADLINE_MS);
  goLive(context, vm.id, { machine, agent });
  return true;
}

async function removeStrayNetns(context: Context): Promise<void> {
  const known = new Set(context.store.vms().map(({ id }) => id));
  for (const netns of listNetns()) {
    const id = vmOfNetns(netns);
    if (id === null || known.has(id)) continue;
    context.log.warn({ netns }, 'network namespace without a record, removed');
    await run(['ip', 'netns', 'delete', netns]);
  }
}

function listNetns(): string[] {
  try {
    return readdirSync(NETNS_DIR);
  } catch {
    return [];
  }
}
