import { VmState, type Network, type Vm } from '../../gen/vmsan/v1/vmsan_pb.js';

/** A VM as `--json` prints it, in every command. Fields are added, never changed. */
export interface VmJson {
  id: string;
  name: string;
  state: string;
  slot: number;
  guestIp: string;
  gatewayIp: string;
  network: NetworkJson;
  vcpus: number;
  memoryMib: number;
  diskBytes: number;
  /** RFC 3339, UTC. */
  createdAt: string;
  accelerator: string;
  netns: string;
  /** Of its QEMU; null when none runs. */
  pid: number | null;
}

export interface NetworkJson {
  policy: string;
  generation: number;
}

export function vmJson(vm: Vm): VmJson {
  return {
    id: vm.id,
    name: vm.name,
    state: stateName(vm.state),
    slot: vm.slot,
    guestIp: vm.guestIp,
    gatewayIp: vm.gatewayIp,
    network: networkJson(vm.network),
    vcpus: vm.vcpus,
    memoryMib: vm.memoryMib,
    diskBytes: Number(vm.diskBytes),
    createdAt: new Date(Number(vm.createdAtMs)).toISOString(),
    accelerator: vm.accelerator,
    netns: vm.netns,
    pid: vm.pid === 0 ? null : vm.pid,
  };
}

export function networkJson(network: Network | undefined): NetworkJson {
  return { policy: network?.policy ?? '', generation: network?.generation ?? 0 };
}

/** `creating`, `running`, `stopped`, `removing`. */
export function stateName(state: VmState): string {
  switch (state) {
    case VmState.CREATING:
      return 'creating';
    case VmState.RUNNING:
      return 'running';
    case VmState.STOPPED:
      return 'stopped';
    case VmState.REMOVING:
      return 'removing';
    case VmState.UNSPECIFIED:
      return 'unknown';
  }
}
