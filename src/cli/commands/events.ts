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
    .option('-f, --follow', 'go on as they come')
    .addOption(jsonFlag('{"at", "kind", "id", "name", "detail"} a line, each'))
    .addHelpText(
      'after',
      `
The daemon keeps the last 1000 since its start. Kinds: created, started, adopted (by a new daemon),
paused, resumed, stopped, removed, network, port (of the host's, that cannot be held), gate.`,
    )
    .action(events);
}

async function events(options: Options): Promise<void> {
  const settings = loadSettings();
  if (options.follow) {
    await follow(settings, 'watchEvents', { follow: true }, (event) => show(event, options));
    return;
  }
  await withDaemon(settings, async (daemon) => {
    for await (const event of daemon.stream('watchEvents', {})) show(event, options);
  });
}

function show(event: ResponseOf<'watchEvents'>, options: Options): void {
  const { kind = '', id = '', name = id, detail = '' } = event;
  const at = new Date(Number(event.atMs ?? 0)).toISOString();
  if (options.json) {
    say(JSON.stringify({ at, kind, id: id || null, name: name || null, detail }));
    return;
  }
  const vm = name === id ? id : `${name} (${id})`;
  say(printable([at, kind, vm, detail].filter((word) => word !== '').join(' ')));
}
