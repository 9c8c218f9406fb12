import { randomBytes } from 'node:crypto';
import { Failure, messageOf } from '../host/failure.ts';
import { connectAgent, type GuestAgent } from '../guest/agent.ts';
import { kernelCommandLine } from '../guest/kernel-command-line.ts';
import { hostTscKhz } from '../guest/tsc.ts';
import type { Images } from '../image/images.ts';
import { vmUid } from '../net/plan.ts';
import type { VmRecord } from '../store/store.ts';
import { qemu } from '../vmm/qemu/qemu.ts';
import type { Machine } from '../vmm/vmm.ts';
import { standsStill } from './disk-space.ts';
import { tellingLines, watchBoot } from './boot-watch.ts';
import { directoriesOf, diskOf, networkOf, type Context, type LiveVm } from './context.ts';

/**
 * Longer than any boot that ends well, on a host that is busy with twenty.
 * A guest that is past it hangs; the next try does not (the timer calibration
 * of an emulated CPU is a gamble that the kernel command line mostly removes).
 */
const BOOT_DEADLINE_MS = 60_000;
const TRIES = 2;
const MTU = 1500;
const ENTROPY_BYTES = 64;

/** Starts a VM's monitor; the guest is booting when this returns. @throws Failure */
export async function launchMachine(
  context: Context,
  vm: VmRecord,
  images: Images,
  { tapFd, groups }: { tapFd: number; groups: readonly string[] },
): Promise<Machine> {
  return qemu.start({
    id: vm.id,
    uid: vmUid(vm.slot),
    vcpus: vm.vcpus,
    memoryMib: vm.memoryMib,
    accelerator: vm.accelerator,
    ...images,
    kernelCommandLine: kernelCommandLine({
      accelerator: vm.accelerator,
      tscKhz: await hostTscKhz(),
    }),
    disk: diskOf(context, vm.id),
    network: { tapFd, mac: networkOf(context, vm).guestMac },
    runDir: directoriesOf(context, vm.id).run,
    groups,
  });
}

/**
 * Waits for the agent of a machine that boots to take its identity.
 * @param again starts another machine in the place of one that hangs
 * @throws Failure with the end of the guest's console; then no monitor runs
 */
export async function bootGuest(
  context: Context,
  vm: VmRecord,
  first: Machine,
  again: () => Promise<Machine>,
): Promise<LiveVm> {
  let machine = first;
  for (let attempt = 1; ; attempt += 1) {
    const watch = watchBoot(machine);
    try {
      const agent = await Promise.race([
        introduce(context, vm, machine),
        // One that stands still will not answer.
        machine.stalled.then(() => null),
      ]);
      if (agent === null) throw new Failure('exhausted', 'its disk cannot be written');
      return { machine, agent: Promise.resolve(agent) };
    } catch (error) {
      const trouble = await watch.trouble();
      const { stall } = machine;
      await machine.kill();
      if (stall !== null) throw standsStill(context, vm, stall);
      if (error instanceof Failure && error.code === 'conflict') throw wrongAgent(error);
      if (attempt === TRIES) throw bootFailure(error, trouble.console);
      context.log.warn(
        { vm: vm.id, error: messageOf(error), ...trouble },
        'boot failed, trying again',
      );
      machine = await again();
    } finally {
      watch.stop();
    }
  }
}

/** Meets a booting guest's agent and gives it its identity: once more when it does not take it. */
async function introduce(context: Context, vm: VmRecord, machine: Machine): Promise<GuestAgent> {
  for (let attempt = 1; ; attempt += 1) {
    const agent = await meetAgent(machine, BOOT_DEADLINE_MS);
    try {
      await configure(context, vm, agent);
      return agent;
    } catch (error) {
      agent.close();
      if (attempt === TRIES) throw error;
      context.log.warn({ vm: vm.id, error: messageOf(error) }, 'the agent is met again');
    }
  }
}

/** Connects to the agent of a machine. @throws Failure when the machine ends first */
export async function meetAgent(machine: Machine, deadlineMs: number): Promise<GuestAgent> {
  const ended = new AbortController();
  void machine.ended.then(() => {
    ended.abort(new Failure('unavailable', 'the machine ended before its agent answered'));
  });
  return connectAgent(machine.agentSocket, { deadlineMs, signal: ended.signal });
}

async function configure(context: Context, vm: VmRecord, agent: GuestAgent): Promise<void> {
  const network = networkOf(context, vm);
  await agent.configure({
    hostname: vm.name,
    network: {
      address: network.guestIp,
      gateway: network.gatewayIp,
      nameservers: [network.gatewayIp],
      mtu: MTU,
    },
    timeUnixNano: BigInt(Date.now()) * 1_000_000n,
    entropy: randomBytes(ENTROPY_BYTES),
  });
}

/** The images are of another vmsan than this daemon; the next try would be the same. */
function wrongAgent({ message }: Failure): Failure {
  return new Failure('conflict', message, { hint: 'npm run bootstrap' });
}

function bootFailure(error: unknown, console: string): Failure {
  const said = tellingLines(console).join('\n') || '(nothing)';
  return new Failure('internal', 'the guest did not boot', {
    cause: new Error(`${messageOf(error)}; its console says:\n${said}`),
  });
}
