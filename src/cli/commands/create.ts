import { Option, type Command } from 'commander';
import type { RequestOf } from '../../api/calls.ts';
import { withDaemon } from '../../api/client.ts';
import { loadSettings } from '../../api/settings.ts';
import {
  DISK_BYTES,
  MEMORY_MIB,
  parseDisk,
  parseMemory,
  parseName,
  parseVcpus,
  policyOf,
  VCPUS,
} from '../../api/values.ts';
import { DEFAULT_POLICY, formatPolicy, type Policy } from '../../policy/policy.ts';
import { jsonFlag, LIST_FLAGS, refuse, refusedFlag, valueFlag } from '../args/flags.ts';
import { bootedVm } from '../boot-events.ts';
import { progress } from '../print/progress.ts';
import { say, sayJson } from '../print/text.ts';

interface Options {
  name?: string;
  vcpus: number;
  memory: number;
  disk: bigint;
  networkPolicy: Policy;
  netns: boolean;
  json?: true;
}

const NO_NETNS = new Option('--no-netns', 'refused').helpGroup('Not enforced yet, and so refused:');

export function define(command: Command): Command {
  command
    .addOption(valueFlag('--name <name>', 'a lower-case DNS label (default: the id)', parseName))
    .addOption(valueFlag('--vcpus <n>', 'virtual CPUs', parseVcpus).default(VCPUS.default))
    .addOption(
      valueFlag('--memory <size>', 'such as 512m or 2g', parseMemory).default(
        MEMORY_MIB.default,
        '512m',
      ),
    )
    .addOption(
      valueFlag('--disk <size>', 'its own writable disk, sparse', parseDisk).default(
        DISK_BYTES.default,
        '10g',
      ),
    )
    .addOption(
      valueFlag('--network-policy <policy>', 'allow-all or deny-all', policyOf).default(
        DEFAULT_POLICY,
        'allow-all',
      ),
    )
    .addOption(jsonFlag('the VM'));
  for (const flags of LIST_FLAGS) command.addOption(refusedFlag(flags));
  return command
    .addOption(NO_NETNS)
    .addHelpText('after', '\nPrints the id of the VM, which is running by then.')
    .action(create);
}

async function create(options: Options): Promise<void> {
  if (!options.netns) refuse(NO_NETNS);
  const steps = await progress();
  const vm = await withDaemon(loadSettings(), (daemon) =>
    bootedVm(daemon.stream('createVm', requestOf(options)), steps),
  ).finally(() => steps.done());
  if (options.json) sayJson(vm);
  else say(vm.id);
}

function requestOf(options: Options): RequestOf<'createVm'> {
  return {
    name: options.name ?? '',
    vcpus: options.vcpus,
    memoryMib: options.memory,
    diskBytes: String(options.disk),
    policy: formatPolicy(options.networkPolicy),
  };
}
