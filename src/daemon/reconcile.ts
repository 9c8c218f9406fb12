import { readdirSync } from 'node:fs';
import { bootId } from '../host/boot-id.ts';
import { messageOf } from '../host/failure.ts';
import { processesOfUsers } from '../host/process.ts';
import { run } from '../host/run.ts';
import { NETNS_DIR, slotOfUid, vmOfNetns } from '../net/plan.ts';
import { setBandwidth } from '../net/bandwidth.ts';
import { bareTaps, bareVms, removeBare } from '../net/bare-links.ts';
import { addAnchor, replaceConstantRules, replaceRuleset } from '../net/vm-links.ts';
import type { VmRecord } from '../store/store.ts';
import { qemu } from '../vmm/qemu/qemu.ts';
import { noteReboot } from './autostart.ts';
import { meetAgent } from './boot.ts';
import { boundMachine, removeStrayGroups } from './control-groups.ts';
import { directoriesOf, networkOf, type Context } from './context.ts';
import { endProcesses, goLive, haltSteps } from './life.ts';
import { forgetNetnsDirectory } from './netns-directory.ts';
import { takePortsAgain } from './ports.ts';
import { removeRecorded } from './remove.ts';
import { runTeardown } from './steps.ts';

const ADOPT_DEADLINE_MS = 15_000;
/** The fact that holds the boot id of the daemon before this one. */
const BOOT = 'boot';

/**
 * Compares what the records say with what runs, and makes them agree: VMs
 * that run are taken up under a ruleset rendered anew, half-made and
 * half-removed ones are removed, and a netns without a record goes.
 */
export async function reconcile(context: Context): Promise<void> {
  forgetLastBoot(context);
  const running: VmRecord[] = [];
  for (const vm of context.store.vms()) {
    try {
      if (await adopt(context, vm)) running.push(vm);
    } catch (error) {
      context.log.error({ vm: vm.id, error: messageOf(error) }, 'cannot be taken up, so it ends');
      await abandon(context, vm);
    }
  }
  await endStrayMachines(context);
  await removeStrayNetns(context);
  await removeStrayBare(context);
  await removeStrayGroups(context);
  await context.sharedNetwork.adopt(
    new Map(
      running.map((vm) => {
        const { id, policy, generation, ports } = vm;
        return [id, { network: networkOf(context, vm), policy, generation, ports }];
      }),
    ),
  );
  for (const vm of running) takePortsAgain(context, vm);
}

/** What an earlier boot of the host lent us, it has back; undoing it now would undo somebody else's. */
function forgetLastBoot(context: Context): void {
  if (context.store.fact(BOOT) === bootId()) return;
  noteReboot(context);
  context.store.clearLentSysctls();
  forgetNetnsDirectory(context);
  context.store.setFact(BOOT, bootId());
}

/** @returns whether the VM runs */
async function adopt(context: Context, vm: VmRecord): Promise<boolean> {
  switch (vm.state) {
    case 'creating':
    case 'removing':
      await removeRecorded(context, vm);
      return false;
    case 'starting':
    case 'stopping':
    // What is stopped has nothing that runs, whatever became of those who stopped it.
    case 'stopped':
      await abandon(context, vm);
      return false;
    case 'running':
      break;
  }
  const { run: runDir } = directoriesOf(context, vm.id);
  const machine = vm.process === null ? null : await qemu.adopt(vm.process, runDir);
  if (machine === null) {
    await abandon(context, vm);
    return false;
  }
  const network = networkOf(context, vm);
  if (!vm.netns) await addAnchor(network);
  const learned = context.leases.begin(vm, network);
  const { policy, generation, ports } = vm;
  context.traffic.look(vm.id);
  replaceRuleset(network, context.host, policy, generation, learned, generation, ports);
  context.traffic.begin(vm.id);
  replaceConstantRules(network, context.host);
  await setBandwidth(network, vm.bandwidth);
  boundMachine(context, vm, machine);
  // The daemon before this one may have died while it put rules back.
  if (!vm.netns && machine.stall === null) await machine.resume();
  // An agent that does not answer keeps nobody from starting.
  context.events.add('adopted', vm);
  goLive(context, vm.id, { machine, agent: meetAgent(machine, ADOPT_DEADLINE_MS) });
  return true;
}

/** What cannot be held to its policy does not run. Its disk is kept. */
async function abandon(context: Context, vm: VmRecord): Promise<void> {
  try {
    await runTeardown(
      'mend',
      vm.name,
      haltSteps(context, vm, 'it did not run when the daemon started'),
    );
  } catch (error) {
    context.log.error({ vm: vm.id, error: messageOf(error) }, 'cannot be cleaned up');
  }
}

async function endStrayMachines(context: Context): Promise<void> {
  const known = new Set(context.store.vms().map(({ slot }) => slot));
  const strays = processesOfUsers((uid) => {
    const slot = slotOfUid(context.host.pools, uid);
    return slot !== null && !known.has(slot);
  });
  if (strays.length > 0) context.log.warn({ strays }, 'machines without a record, ended');
  await endProcesses(strays);
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

/** What a VM without a netns may leave, of VMs without a record. Their machines have ended. */
async function removeStrayBare(context: Context): Promise<void> {
  const known = new Set(context.store.vms().flatMap(({ id, netns }) => (netns ? [] : [id])));
  for (const link of await bareTaps()) {
    if (known.has(link)) continue;
    context.log.warn({ link }, 'TAP without a record, removed');
    await run(['ip', 'link', 'delete', 'dev', link]);
  }
  for (const vm of await bareVms()) {
    if (known.has(vm)) continue;
    context.log.warn({ vm }, 'rules without a record, removed');
    await removeBare(vm);
  }
}

function listNetns(): string[] {
  try {
    return readdirSync(NETNS_DIR);
  } catch {
    return [];
  }
}
