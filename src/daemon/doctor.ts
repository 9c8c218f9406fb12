import { existsSync } from 'node:fs';
import { nftables } from '../host/nft.ts';
import { run } from '../host/run.ts';
import { judgeKvm } from './accelerator.ts';
import type { Context } from './context.ts';
import { missingGroups } from './control-groups.ts';
import { check, failed, note, ok, type Check, type Found } from './doctor-check.ts';
import { examineNetwork } from './doctor-network.ts';
import { QEMU_PROGRAM } from '../vmm/qemu/arguments.ts';

const TOOLS = ['ip', 'tc', 'unshare', 'prlimit', 'setpriv', 'conntrack', 'mkfs.ext4', QEMU_PROGRAM];

/** Looks at everything vmsan needs of this host. Each check stands for itself; none throws. */
export async function examine(context: Context): Promise<Check[]> {
  const checks = await Promise.all([
    check('tools', () => tools()),
    check('TUN/TAP', () => tunDevice()),
    check('nftables', () => nftablesWork()),
    check('images', () => images(context)),
    check('accelerator', () => accelerator(context)),
    check('control groups', () => controlGroups(context)),
  ]);
  return [...checks, ...(await examineNetwork(context))];
}

async function tools(): Promise<Found> {
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

function tunDevice(): Found {
  return existsSync('/dev/net/tun')
    ? ok('/dev/net/tun')
    : failed('there is no /dev/net/tun', 'modprobe tun');
}

function nftablesWork(): Found {
  const tables = nftables(undefined, 'list tables').trim();
  return ok(tables === '' ? 'no table on this host' : tables.replaceAll('\n', ', '));
}

async function images(context: Context): Promise<Found> {
  const { kernel } = await context.images();
  return ok(kernel);
}

async function accelerator(context: Context): Promise<Found> {
  if (context.settings.accel === 'tcg') return ok('software emulation, as VMSAN_ACCEL says');
  const kvm = await judgeKvm(context, await context.images());
  if (kvm.works) return ok('KVM: a guest booted on it');
  const detail = `software emulation: ${kvm.reason}`;
  return context.settings.accel === 'kvm'
    ? failed(`VMSAN_ACCEL=kvm, but ${kvm.reason}`, 'VMSAN_ACCEL=tcg uses software emulation')
    : note(detail, 'VMs work, slower than under KVM');
}

function controlGroups(context: Context): Found {
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
