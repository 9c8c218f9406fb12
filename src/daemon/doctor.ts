import { existsSync } from 'node:fs';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Check_Status, type CheckSchema } from '../gen/vmsan/v1/vmsan_pb.js';
import { messageOf } from '../host/failure.ts';
import { nftables } from '../host/nft.ts';
import { run } from '../host/run.ts';
import { slotCount } from '../net/plan.ts';
import { judgeKvm } from './accelerator.ts';
import type { Context } from './context.ts';
import { missingGroups } from './control-groups.ts';
import { upstreamsOf } from './upstreams.ts';
import { QEMU_PROGRAM } from '../vmm/qemu/arguments.ts';

type Check = MessageInitShape<typeof CheckSchema>;

const TOOLS = ['ip', 'tc', 'unshare', 'prlimit', 'setpriv', 'mkfs.ext4', QEMU_PROGRAM];

/** Looks at everything vmsan needs of this host. Each check stands for itself; none throws. */
export async function examine(context: Context): Promise<Check[]> {
  return Promise.all([
    check('tools', () => tools()),
    check('TUN/TAP', () => tunDevice()),
    check('nftables', () => nftablesWork()),
    check('images', () => images(context)),
    check('accelerator', () => accelerator(context)),
    check('resolvers', () => resolvers(context)),
    check('networks', () => networks(context)),
    check('control groups', () => controlGroups(context)),
  ]);
}

type Finding = Pick<Check, 'status' | 'detail' | 'hint'>;

const ok = (detail: string): Finding => ({ status: Check_Status.OK, detail });
const note = (detail: string, hint: string): Finding => ({
  status: Check_Status.NOTE,
  detail,
  hint,
});
const failed = (detail: string, hint: string): Finding => ({
  status: Check_Status.FAILED,
  detail,
  hint,
});

async function check(name: string, find: () => Finding | Promise<Finding>): Promise<Check> {
  try {
    return { name, ...(await find()) };
  } catch (error) {
    return { name, ...failed(messageOf(error), '') };
  }
}

async function tools(): Promise<Finding> {
  const found = await Promise.all(
    TOOLS.map((tool) =>
      run(['sh', '-c', 'command -v -- "$1"', 'sh', tool]).then(
        () => null,
        () => tool,
      ),
    ),
  );
  const missing = found.filter((tool) => tool !== null);
  return missing.length === 0
    ? ok(TOOLS.join(', '))
    : failed(`not found: ${missing.join(', ')}`, 'npm run bootstrap');
}

function tunDevice(): Finding {
  return existsSync('/dev/net/tun')
    ? ok('/dev/net/tun')
    : failed('there is no /dev/net/tun', 'modprobe tun');
}

function nftablesWork(): Finding {
  const tables = nftables(undefined, 'list tables').trim();
  return ok(tables === '' ? 'no table on this host' : tables.replaceAll('\n', ', '));
}

async function images(context: Context): Promise<Finding> {
  const { kernel } = await context.images();
  return ok(kernel);
}

async function accelerator(context: Context): Promise<Finding> {
  if (context.settings.accel === 'tcg') return ok('software emulation, as VMSAN_ACCEL says');
  const kvm = await judgeKvm(context, await context.images());
  if (kvm.works) return ok('KVM: a guest booted on it');
  const detail = `software emulation: ${kvm.reason}`;
  return context.settings.accel === 'kvm'
    ? failed(`VMSAN_ACCEL=kvm, but ${kvm.reason}`, 'VMSAN_ACCEL=tcg uses software emulation')
    : note(detail, 'VMs work, slower than under KVM');
}

function resolvers(context: Context): Finding {
  const addresses = upstreamsOf(context.settings.dns).map(({ address }) => address);
  return addresses.length > 0
    ? ok(addresses.join(', '))
    : note('this host names no IPv4 resolver, so names do not resolve in VMs', 'set VMSAN_DNS');
}

function controlGroups(context: Context): Finding {
  const missing = missingGroups(context);
  if (missing !== null) {
    return note(`not to be had: ${missing}`, 'VMs work, without a limit on what of these they use');
  }
  const { hierarchies } = context.controlGroups;
  const bases = hierarchies.map(
    ({ version, base, controllers }) => `${controllers.join(', ')} (v${version}) in ${base}`,
  );
  return ok(bases.join('; '));
}

function networks(context: Context): Finding {
  const { subnetPool } = context.settings;
  const used = context.store.vms().length;
  return ok(`${used} of ${slotCount(context.settings)} of ${subnetPool} in use`);
}
