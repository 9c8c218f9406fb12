import type { Command } from 'commander';
import { loadSettings } from '../../api/settings.ts';
import { jsonFlag } from '../args/flags.ts';
import { forEachVm } from '../each.ts';
import { printable, say, sayJson } from '../print/text.ts';

export function define(command: Command): Command {
  return command
    .argument('<vm...>', 'ids, names or unique prefixes')
    .option('-f, --force', 'remove it even when it runs')
    .addOption(jsonFlag('an array of {"id", "name"} of what was removed'))
    .action(remove);
}

async function remove(names: string[], options: { force?: true; json?: true }): Promise<void> {
  const removed: { id: string; name: string }[] = [];
  await forEachVm(loadSettings(), names, options, async (daemon, vm) => {
    const request = { vm, force: options.force ?? false };
    const { id = '', name = id } = await daemon.call('removeVm', request, 60_000);
    removed.push({ id, name });
    if (!options.json) say(printable(name));
  });
  if (options.json) sayJson(removed);
}
