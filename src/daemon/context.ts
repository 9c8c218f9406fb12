import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Settings } from '../api/settings.ts';
import type { GuestAgent } from '../guest/agent.ts';
import type { Images } from '../image/images.ts';
import type { ControlGroups } from '../host/cgroup.ts';
import type { KeyedMutex, Places } from '../host/mutex.ts';
import { planVm, type HostNetwork, type VmNetwork } from '../net/plan.ts';
import type { Store, VmRecord } from '../store/store.ts';
import type { Machine } from '../vmm/vmm.ts';
import type { Events } from './events.ts';
import type { HeldPorts } from './held-ports.ts';
import type { Leases } from './leases.ts';
import type { SharedNetwork } from './shared-network.ts';
import type { Traffic } from './traffic.ts';

/** A VM that runs: its monitor, and the connection to its agent, which may still be under way. */
export interface LiveVm {
  machine: Machine;
  agent: Promise<GuestAgent>;
  /** Its end was asked for: its agent is not connected to again, and its end is no surprise. */
  leaving?: true;
}

/** What every operation of the daemon works on. */
export interface Context {
  settings: Settings;
  log: Logger;
  store: Store;
  host: HostNetwork;
  sharedNetwork: SharedNetwork;
  /** What allowed names hold, of the VMs that run. */
  leases: Leases;
  /** What was decided of what VMs asked for. */
  traffic: Traffic;
  heldPorts: HeldPorts;
  /** Where the kernel, the initramfs and the base are. @throws Failure when they are not built */
  images(): Promise<Images>;
  events: Events;
  controlGroups: ControlGroups;
  /** By id. */
  live: Map<string, LiveVm>;
  /** VMs that are being audited, by id. */
  audits: Set<string>;
  /** One operation at a time on each VM, by id. */
  turns: KeyedMutex;
  /**
   * As many boots at a time as there are processors: more only take longer,
   * each of them, until the first is past its deadline.
   */
  boots: Places;
}

/** What of a VM's record says which network it has. */
export type NetworkOwner = Pick<VmRecord, 'id' | 'slot' | 'netns'>;

export function networkOf(context: Context, vm: NetworkOwner): VmNetwork {
  return planVm(context.host.pools, vm.slot, vm.id, vm.netns);
}

/** Where a VM's files are: its disk, and its sockets. Each directory is its QEMU's alone. */
export function directoriesOf(context: Context, id: string): { state: string; run: string } {
  return {
    state: join(context.settings.stateDir, 'vms', id),
    run: join(context.settings.runDir, 'vms', id),
  };
}

export function diskOf(context: Context, id: string): string {
  return join(directoriesOf(context, id).state, 'disk.raw');
}
