import { closeFd } from '../host/ffi.ts';
import type { Images } from '../image/images.ts';
import { setBandwidth } from '../net/bandwidth.ts';
import type { Learned } from '../net/learned.ts';
import * as links from '../net/vm-links.ts';
import { isLimited } from '../policy/bandwidth.ts';
import type { VmRecord } from '../store/store.ts';
import type { Machine } from '../vmm/vmm.ts';
import { bootGuest, launchMachine } from './boot.ts';
import { boundVm } from './control-groups.ts';
import { networkOf, type Context, type LiveVm } from './context.ts';
import { makeRunDirectory, removeRunDirectory } from './directories.ts';
import { goLive } from './life.ts';
import { noteNetnsDirectory } from './netns-directory.ts';
import type { ReadyNetwork } from './ready-networks.ts';
import type { Step } from './steps.ts';

/** What there is already of a VM that is brought up. */
export interface Prepared {
  /** Resolves when its disk is made, if it is not yet. */
  disk?: () => Promise<void> | undefined;
  /** Its network, under deny-all. */
  ready?: ReadyNetwork | undefined;
}

/**
 * Makes all that a VM has only while it runs, and boots it: the same for a new
 * VM and for one that starts again. `releaseSteps` takes it away.
 * @param vm its slot may still be unknown; its state and process are set at the end
 */
export function bringUpSteps(
  context: Context,
  vm: VmRecord,
  images: Images,
  { disk, ready }: Prepared = {},
): Step[] {
  let tapFd: number | undefined;
  let groups: readonly string[] = [];
  let learned: readonly Learned[] = [];
  let machine: Machine | undefined;
  let live: LiveVm | undefined;
  const network = () => networkOf(context, vm);
  const closeTap = () => {
    if (tapFd !== undefined) closeFd(tapFd);
    tapFd = undefined;
  };
  const startMachine = async () => {
    machine = await launchMachine(context, vm, images, { tapFd: tapFd!, groups });
    return machine;
  };
  return [
    {
      name: 'hold its ports',
      do: () => {
        vm.ports = context.heldPorts.hold(vm.id, vm.ports);
      },
      undo: () => context.heldPorts.release(vm.id, 'all'),
    },
    {
      name: 'make room for its sockets',
      do: () => makeRunDirectory(context, vm.id),
      undo: () => removeRunDirectory(context, vm.id),
    },
    {
      name: 'limit what it uses',
      do: () => {
        groups = boundVm(context, vm);
      },
      undo: () => context.controlGroups.remove(vm.id),
    },
    {
      name: vm.netns ? 'make the network namespace' : 'forbid what nobody judges',
      do: () => {
        if (ready !== undefined) return;
        if (vm.netns) noteNetnsDirectory(context);
        return links.addAnchor(network());
      },
      undo: () => links.removeAnchor(network()),
    },
    {
      name: 'load the ruleset',
      do: () => {
        learned = context.leases.begin(vm, network());
        context.traffic.begin(vm.id, { network: true });
        if (ready !== undefined) {
          [tapFd, ready.tapFd] = [ready.tapFd!, null];
          return;
        }
        tapFd = links.openGuardedTap(
          network(),
          context.host,
          vm.policy,
          vm.generation,
          learned,
          vm.ports,
        );
      },
      undo: () => {
        closeTap();
        context.leases.end(vm.id);
      },
    },
    {
      // The longest wait comes first: the kernel boots while the next steps join
      // the netns to the host. Whatever the guest does meanwhile stays inside: its
      // rules are in force, its TAP is down, and no link leads out.
      name: 'start the machine',
      do: async () => {
        await disk?.();
        await startMachine();
      },
      undo: () => machine?.kill(),
    },
    {
      name: 'let it into the host’s table',
      do: () =>
        context.sharedNetwork.attach(vm.id, {
          network: network(),
          policy: vm.policy,
          generation: vm.generation,
          ports: vm.ports,
        }),
      undo: () => context.sharedNetwork.detach(vm.id),
    },
    {
      name: 'connect the links',
      // One that was ready is connected: its own ruleset takes the place of deny-all.
      do: async () => {
        const { policy, generation, bandwidth, ports } = vm;
        if (ready === undefined) await links.connectLinks(network(), bandwidth);
        else if (isLimited(bandwidth)) await setBandwidth(network(), bandwidth);
        if (ports.length > 0) links.setLoopback(network(), true);
        if (ready === undefined) return;
        links.replaceRuleset(
          network(),
          context.host,
          policy,
          generation,
          learned,
          generation,
          ports,
        );
        context.traffic.begin(vm.id);
      },
      undo: () => links.removeHostLink(network()),
    },
    {
      name: 'boot the guest',
      do: async () => {
        live = await bootGuest(context, vm, machine!, startMachine);
        closeTap();
      },
    },
    {
      name: 'record that it runs',
      do: () => {
        vm.state = 'running';
        vm.process = live!.machine.process;
        context.store.updateVm(vm);
        goLive(context, vm.id, live!);
      },
    },
  ];
}
