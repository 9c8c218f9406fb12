import type { Command } from 'commander';
import { loadSettings } from '../../api/settings.ts';
import { parseSeconds } from '../../api/values.ts';
import { jsonFlag, valueFlag } from '../args/flags.ts';
import { forEachVm } from '../each.ts';
import { printable, say, sayJson } from '../print/text.ts';
import { vmJson, type VmJson } from '../print/vm.ts';

/** As Docker's. */
const GRACE_SECONDS = 10;
/** What comes after the grace: the guest's disk written, the machine's end, the network taken away. */
const REST_MS = 60_000;

interface Options {
  time: number;
  json?: true;
}

export function define(command: Command): Command {
  return command
    .argument('<vm...>', 'ids, names or unique prefixes')
    .addOption(
      valueFlag(
        '-t, --time <seconds>',
        'how long processes in the guest may take to end before they are killed',
        parseSeconds,
      ).default(GRACE_SECONDS),
    )
    .addOption(jsonFlag('an array of VMs'))
    .addHelpText(
      'after',
      `
The guest's processes get SIGTERM, after the time SIGKILL; then its disk is written and the machine
powers off. One that has not done all that ten seconds later is ended. With --time 0 it is ended at
once, and what its guest had not yet written is lost. One that is stopped is left as it is.`,
    )
    .action(stop);
}

async function stop(names: string[], options: Options): Promise<void> {
  const stopped: VmJson[] = [];
  const graceMs = options.time * 1000;
  await forEachVm(loadSettings(), names, { ...options, together: true }, async (daemon, name) => {
    const { vm } = await daemon.call('stopVm', { vm: name, graceMs }, graceMs + REST_MS);
    if (vm === undefined) return;
    stopped.push(vmJson(vm));
    if (!options.json) say(printable(vm.name ?? name));
  });
  if (options.json) sayJson(stopped);
}
