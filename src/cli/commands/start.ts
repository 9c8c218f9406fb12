import type { Command } from 'commander';
import { loadSettings } from '../../api/settings.ts';
import { jsonFlag } from '../args/flags.ts';
import { bootedVm } from '../boot-events.ts';
import { forEachVm } from '../each.ts';
import { progress } from '../print/progress.ts';
import { printable, say, sayJson } from '../print/text.ts';
import type { VmJson } from '../print/vm.ts';

export function define(command: Command): Command {
  return command
    .argument('<vm...>', 'ids, names or unique prefixes')
    .addOption(jsonFlag('an array of VMs'))
    .addHelpText(
      'after',
      '\nA VM starts with its own disk, address and policy. One that runs is left as it is, one\nthat is paused tries again to write its disk.',
    )
    .action(start);
}

async function start(names: string[], options: { json?: true }): Promise<void> {
  const started: VmJson[] = [];
  await forEachVm(loadSettings(), names, options, async (daemon, name) => {
    const steps = await progress();
    const events = daemon.stream('startVm', { vm: name });
    const vm = await bootedVm(events, steps).finally(() => steps.done());
    started.push(vm);
    if (!options.json) say(printable(vm.name));
  });
  if (options.json) sayJson(started);
}
