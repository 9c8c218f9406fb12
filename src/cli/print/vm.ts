import type {
  NetworkJson as WireNetwork,
  VmJson as WireVm,
  VmStateJson,
} from '../../gen/vmsan/v1/vmsan_pb.js';
import type { Bandwidth } from '../../policy/bandwidth.ts';

/** A VM as every command shows it, and as `--json` prints it. Fields are added, never changed. */
export interface VmJson {
  id: string;
  name: string;
  /** `creating`, `starting`, `running`, `paused`, `stopping`, `stopped`, `removing`. */
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
  /** `kvm`, or `tcg`: software emulation. */
  accelerator: string;
  /** Null when its rules are in the host's own. */
  netns: string | null;
  /** Of its QEMU; null when none runs. */
  pid: number | null;
  /** Started again after a reboot of the host, if it ran before. */
  autostart: boolean;
  /** Why it is paused; null when it is not. */
  notice: string | null;
}

export interface NetworkJson {
  /** `allow-all`, `deny-all`, `custom`. */
  policy: string;
  generation: number;
  /** What happens to a packet that no list names: `allow` or `deny`. */
  default: string;
  allowedCidrs: string[];
  deniedCidrs: string[];
  /** Of the allowed ones, those that open a part of the host or of link-local. */
  openedCidrs: string[];
  /** As `--allowed-domain` takes them. */
  allowedDomains: string[];
  /** At most so many bits of its frames a second, or null. */
  bandwidth: Bandwidth;
  publishedPorts: PortJson[];
}

/** A port of the host's that leads to the guest. */
export interface PortJson {
  /** `tcp`, `udp`. */
  protocol: string;
  /** The host's; `0.0.0.0` is all of them. */
  address: string;
  hostPort: number;
  guestPort: number;
  /** Nobody else can have it: false when the VM does not run, or when somebody took it before. */
  held: boolean;
}

/** What the contract's JSON leaves out has its default value. */
export function vmJson(vm: WireVm): VmJson {
  const { id = '' } = vm;
  return {
    id,
    name: vm.name ?? id,
    state: stateName(vm.state),
    slot: vm.slot ?? 0,
    guestIp: vm.guestIp ?? '',
    gatewayIp: vm.gatewayIp ?? '',
    network: networkJson(vm.network),
    vcpus: vm.vcpus ?? 0,
    memoryMib: vm.memoryMib ?? 0,
    diskBytes: Number(vm.diskBytes ?? 0),
    createdAt: new Date(Number(vm.createdAtMs ?? 0)).toISOString(),
    accelerator: vm.accelerator ?? '',
    netns: vm.netns ?? null,
    pid: vm.pid ?? null,
    autostart: vm.autostart ?? false,
    notice: vm.notice ?? null,
  };
}

export function networkJson(network: WireNetwork = {}): NetworkJson {
  return {
    policy: network.policy ?? '',
    generation: network.generation ?? 0,
    default: network.defaultVerdict ?? '',
    allowedCidrs: network.allowedCidrs ?? [],
    deniedCidrs: network.deniedCidrs ?? [],
    openedCidrs: network.openedCidrs ?? [],
    allowedDomains: network.allowedDomains ?? [],
    bandwidth: {
      out: Number(network.bandwidthOut ?? 0) || null,
      in: Number(network.bandwidthIn ?? 0) || null,
    },
    publishedPorts: (network.publishedPorts ?? []).map((port) => ({
      protocol: port.protocol ?? '',
      address: port.address ?? '',
      hostPort: port.hostPort ?? 0,
      guestPort: port.guestPort ?? 0,
      held: port.held ?? false,
    })),
  };
}

/** As every command names a state. */
export function stateName(state: VmStateJson = 'VM_STATE_UNSPECIFIED'): string {
  switch (state) {
    case 'VM_STATE_CREATING':
      return 'creating';
    case 'VM_STATE_RUNNING':
      return 'running';
    case 'VM_STATE_PAUSED':
      return 'paused';
    case 'VM_STATE_STOPPED':
      return 'stopped';
    case 'VM_STATE_REMOVING':
      return 'removing';
    case 'VM_STATE_STARTING':
      return 'starting';
    case 'VM_STATE_STOPPING':
      return 'stopping';
    case 'VM_STATE_UNSPECIFIED':
      return 'unknown';
  }
}
