import type { Command } from 'commander';
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
  VCPUS,
} from '../../api/values.ts';
import { addPublishFlag, portsRequest, type PortOptions } from '../args/ports.ts';
import { addBandwidthFlags, bandwidthRequest, type BandwidthOptions } from '../args/bandwidth.ts';
import { jsonFlag, valueFlag } from '../args/flags.ts';
import { addPolicyFlags, policyRequest, type PolicyOptions } from '../args/policy.ts';
import { bootedVm } from '../boot-events.ts';
import { progress } from '../print/progress.ts';
import { say, sayJson } from '../print/text.ts';

interface Options extends PolicyOptions, BandwidthOptions, PortOptions {
  name?: string;
  vcpus: number;
  memory: number;
  disk: bigint;
  autostart?: true;
  netns: boolean;
  json?: true;
}

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
    .option('--autostart', 'run it again after a reboot of the host, if it ran before')
    .option(
      '--no-netns',
      'no network namespace of its own: weaker, its rules share the host’s with other software',
    );
  addPolicyFlags(command, 'allow-all, deny-all or custom (default: allow-all)');
  addPublishFlag(command);
  addBandwidthFlags(command).addOption(jsonFlag('the VM'));
  return command
    .addHelpText('after', '\nPrints the id of the VM, which is running by then.')
    .action(create);
}

async function create(options: Options): Promise<void> {
  const request = requestOf(options);
  const steps = await progress();
  const vm = await withDaemon(loadSettings(), (daemon) =>
    bootedVm(daemon.stream('createVm', request), steps),
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
    autostart: options.autostart ?? false,
    noNetns: !options.netns,
    ...policyRequest(options),
    ...bandwidthRequest(options),
    ...portsRequest(options),
  };
}
