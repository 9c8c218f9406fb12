import type { MessageInitShape } from '@bufbuild/protobuf';
import { VmState, type VmSchema } from '../../gen/vmsan/v1/vmsan_pb.js';

/** What a daemon says of a VM. */
export const WEB: MessageInitShape<typeof VmSchema> = {
  id: 'vm-00000001',
  name: 'web',
  state: VmState.RUNNING,
  slot: 3,
  guestIp: '172.16.3.2',
  gatewayIp: '172.16.3.1',
  network: { policy: 'deny-all', generation: 2, defaultVerdict: 'deny' },
  vcpus: 1,
  memoryMib: 512,
  diskBytes: 10n * 1024n ** 3n,
  createdAtMs: 1_700_000_000_000n,
  accelerator: 'tcg',
  netns: 'vmsan-vm-00000001',
  pid: 4711,
  autostart: true,
};
/** Its network with `--json`. */
export const DENY_JSON = {
  policy: 'deny-all',
  generation: 2,
  default: 'deny',
  allowedCidrs: [],
  deniedCidrs: [],
  openedCidrs: [],
  allowedDomains: [],
  bandwidth: { out: null, in: null },
  publishedPorts: [],
};
/** All of it with `--json`. */
export const WEB_JSON = {
  id: 'vm-00000001',
  name: 'web',
  state: 'running',
  slot: 3,
  guestIp: '172.16.3.2',
  gatewayIp: '172.16.3.1',
  network: DENY_JSON,
  vcpus: 1,
  memoryMib: 512,
  diskBytes: 10_737_418_240,
  createdAt: '2023-11-14T22:13:20.000Z',
  accelerator: 'tcg',
  netns: 'vmsan-vm-00000001',
  pid: 4711,
  autostart: true,
  notice: null,
};
