import type { Command } from 'commander';
import { withDaemon } from '../../api/client.ts';
import { loadSettings } from '../../api/settings.ts';
import { jsonFlag } from '../args/flags.ts';
import { table } from '../print/table.ts';
import { ago, printable, remark, say, sayJson, size } from '../print/text.ts';
import { vmJson, type VmJson } from '../print/vm.ts';

export function define(command: Command): Command {
  return command
    .option('-q, --quiet', 'print ids only')
    .addOption(jsonFlag('an array of VMs'))
    .action(list);
}

async function list(options: { quiet?: true; json?: true }): Promise<void> {
  const answer = await withDaemon(loadSettings(), (daemon) => daemon.call('listVms', {}, 30_000));
  const vms = (answer.vms ?? []).map(vmJson);
  if (options.json) sayJson(vms);
  else if (!options.quiet) say(table(vms.map(row), HEAD));
  else for (const vm of vms) say(vm.id);
  for (const { name, notice } of vms) {
    if (notice !== null && !options.json) remark(`${printable(name)}: ${printable(notice)}`);
  }
}

const HEAD = ['ID', 'NAME', 'STATE', 'POLICY', 'GUEST IP', 'CPUS', 'MEMORY', 'DISK', 'CREATED'];

function row(vm: VmJson): string[] {
  return [
    vm.id,
    vm.name,
    vm.state,
    vm.network.policy,
    vm.guestIp,
    String(vm.vcpus),
    `${vm.memoryMib} MiB`,
    size(vm.diskBytes),
    ago(Date.parse(vm.createdAt)),
  ];
}
