import type { Command } from 'commander';
import { loadSettings } from '../../api/settings.ts';
import { jsonFlag } from '../args/flags.ts';
import { rateText } from '../../policy/bandwidth.ts';
import { forEachVm } from '../each.ts';
import { policyLine } from '../print/policy.ts';
import { portLines } from '../print/ports.ts';
import { table } from '../print/table.ts';
import { say, sayJson, size } from '../print/text.ts';
import { vmJson, type VmJson } from '../print/vm.ts';

export function define(command: Command): Command {
  return command
    .argument('<vm...>', 'ids, names or unique prefixes')
    .addOption(jsonFlag('an array of VMs, also for a single one,'))
    .action(inspect);
}

async function inspect(names: string[], options: { json?: true }): Promise<void> {
  const vms: VmJson[] = [];
  await forEachVm(loadSettings(), names, options, async (daemon, name) => {
    const { vm } = await daemon.call('getVm', { vm: name }, 30_000);
    if (vm !== undefined) vms.push(vmJson(vm));
  });
  if (options.json) sayJson(vms);
  else if (vms.length > 0) say(vms.map(describe).join('\n\n'));
}

function describe(vm: VmJson): string {
  return table([
    ['id', vm.id],
    ['name', vm.name],
    ['state', vm.notice === null ? vm.state : `${vm.state}: ${vm.notice}`],
    ['network policy', `${policyLine(vm.network)} (generation ${vm.network.generation})`],
    [
      'bandwidth',
      `${rateText(vm.network.bandwidth.out)} out, ${rateText(vm.network.bandwidth.in)} in`,
    ],
    ...portLines(vm.network.publishedPorts).map((line) => ['published', line]),
    ['guest address', vm.guestIp],
    ['gateway', vm.gatewayIp],
    ['netns', vm.netns ?? 'none: its rules are in the host’s'],
    ['slot', String(vm.slot)],
    ['vCPUs', String(vm.vcpus)],
    ['memory', `${vm.memoryMib} MiB`],
    ['disk', size(vm.diskBytes)],
    ['accelerator', vm.accelerator],
    ['QEMU pid', String(vm.pid ?? '-')],
    ['after a reboot', vm.autostart ? 'runs again, if it ran' : 'stopped'],
    ['created', vm.createdAt],
  ]);
}
