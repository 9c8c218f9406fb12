import type { Command } from 'commander';
import { withDaemon } from '../../api/client.ts';
import { loadSettings } from '../../api/settings.ts';
import type { Vm } from '../../gen/vmsan/v1/vmsan_pb.js';
import { jsonFlag } from '../args/flags.ts';
import { table } from '../print/table.ts';
import { ago, say, sayJson, size } from '../print/text.ts';
import { stateName, vmJson } from '../print/vm.ts';

export function define(command: Command): Command {
  return command
    .option('-q, --quiet', 'print ids only')
    .addOption(jsonFlag('an array of VMs'))
    .action(list);
}

async function list(options: { quiet?: true; json?: true }): Promise<void> {
  const { vms } = await withDaemon(loadSettings(), ({ vmsan }) =>
    vmsan.listVms({}, { timeoutMs: 30_000 }),
  );
  if (options.json) sayJson(vms.map(vmJson));
  else if (!options.quiet) say(table(vms.map(row), HEAD));
  else for (const vm of vms) say(vm.id);
}

const HEAD = ['ID', 'NAME', 'STATE', 'POLICY', 'GUEST IP', 'CPUS', 'MEMORY', 'DISK', 'CREATED'];

function row(vm: Vm): string[] {
  return [
    vm.id,
    vm.name,
    stateName(vm.state),
    vm.network?.policy ?? '',
    vm.guestIp,
    String(vm.vcpus),
    `${vm.memoryMib} MiB`,
    size(vm.diskBytes),
    ago(Number(vm.createdAtMs)),
  ];
}
