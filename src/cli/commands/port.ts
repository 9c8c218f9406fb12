import type { Command } from 'commander';
import { withDaemon } from '../../api/client.ts';
import { loadSettings } from '../../api/settings.ts';
import { jsonFlag } from '../args/flags.ts';
import { portLines } from '../print/ports.ts';
import { printable, remark, say, sayJson } from '../print/text.ts';
import { vmJson } from '../print/vm.ts';

export function define(command: Command): Command {
  return command
    .argument('<vm>', 'an id, a name or a unique prefix')
    .addOption(jsonFlag('an array of published ports'))
    .addHelpText(
      'after',
      `
Ports of the host on the left, 0.0.0.0 being all of its addresses, localhost among
them; the guest's on the right. vmsan network publishes others and takes them back.`,
    )
    .action(port);
}

async function port(name: string, options: { json?: true }): Promise<void> {
  const { vm } = await withDaemon(loadSettings(), (daemon) =>
    daemon.call('getVm', { vm: name }, 30_000),
  );
  if (vm === undefined) return;
  const { name: called, state, network } = vmJson(vm);
  const { publishedPorts: ports } = network;
  if (options.json) {
    sayJson(ports);
    return;
  }
  for (const line of portLines(ports)) say(line);
  const taken = ports.filter(({ held }) => !held);
  if (state !== 'running' || taken.length === 0) return;
  for (const line of portLines(taken)) {
    remark(printable(`${called}: another program took ${line} while no daemon ran`));
  }
}
