import type { Command } from 'commander';
import type { ResponseOf } from '../../api/calls.ts';
import { withDaemon } from '../../api/client.ts';
import { loadSettings } from '../../api/settings.ts';
import { jsonFlag } from '../args/flags.ts';
import { follow } from '../follow.ts';
import { printable, say } from '../print/text.ts';

interface Options {
  follow?: true;
  json?: true;
}

export function define(command: Command): Command {
  return command
    .argument('<vm>', 'an id, a name or a unique prefix')
    .option('-f, --follow', 'go on until the VM ends')
    .addOption(jsonFlag('{"text"} a line, each'))
    .addHelpText(
      'after',
      `
The last 64 KiB of what a running guest's kernel and agent wrote. On a terminal, control characters
are shown as escapes; elsewhere the guest's text is passed on as it is.`,
    )
    .action(logs);
}

async function logs(vm: string, options: Options): Promise<void> {
  const settings = loadSettings();
  const { isTTY } = process.stdout;
  const show = ({ text = '' }: ResponseOf<'getLogs'>): void => {
    if (options.json) say(JSON.stringify({ text }));
    else process.stdout.write(isTTY ? safe(text) : text);
  };
  if (options.follow) {
    await follow(settings, 'getLogs', { vm, follow: true }, show);
    return;
  }
  await withDaemon(settings, async (daemon) => {
    for await (const text of daemon.stream('getLogs', { vm })) show(text);
  });
}

/** Lines stay lines: a console ends them with CR and LF. */
function safe(text: string): string {
  return text.replaceAll('\r\n', '\n').split('\n').map(printable).join('\n');
}
