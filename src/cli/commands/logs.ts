import type { Command } from 'commander';
import { withDaemon } from '../../api/client.ts';
import { loadSettings } from '../../api/settings.ts';
import { jsonFlag } from '../args/flags.ts';
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
  const { isTTY } = process.stdout;
  await withDaemon(loadSettings(), async (daemon) => {
    const follow = options.follow ?? false;
    for await (const { text = '' } of daemon.stream('getLogs', { vm, follow })) {
      if (options.json) say(JSON.stringify({ text }));
      else process.stdout.write(isTTY ? safe(text) : text);
    }
  });
}

/** Lines stay lines: a console ends them with CR and LF. */
function safe(text: string): string {
  return text.replaceAll('\r\n', '\n').split('\n').map(printable).join('\n');
}
