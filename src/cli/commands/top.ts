import { setTimeout } from 'node:timers/promises';
import type { Command } from 'commander';
import { withDaemon, type Daemon } from '../../api/client.ts';
import { loadSettings } from '../../api/settings.ts';
import { readLook, shares, TOP_HEAD, topRow, type Look } from '../print/top.ts';
import { table } from '../print/table.ts';
import { say, sayJson } from '../print/text.ts';
import { watchScreen } from '../screen.ts';
import { jsonFlag } from '../args/flags.ts';

const EVERY_MS = 1000;

export function define(command: Command): Command {
  return command
    .option('--once', 'print one table and end; so it is where there is no terminal')
    .addOption(jsonFlag('one table as an array, with rates,'))
    .addHelpText('after', '\nRefreshes every second; q or Ctrl-C ends it.')
    .action(top);
}

async function top(options: { once?: true; json?: true }): Promise<void> {
  await withDaemon(loadSettings(), async (daemon) => {
    const once = options.once ?? options.json ?? !process.stdout.isTTY;
    if (!once) return await live(daemon);
    const before = await look(daemon);
    // Rates are of a time, so there are two looks.
    await setTimeout(before.vms.some(({ running }) => running) ? EVERY_MS : 0);
    const rows = shares(await look(daemon), before);
    if (options.json) sayJson(rows);
    else say(table(rows.map(topRow), TOP_HEAD));
  });
}

/** Until the user has enough. */
async function live(daemon: Daemon): Promise<void> {
  using screen = watchScreen();
  for (let before: Look | undefined; !screen.ended.aborted;) {
    const now = await look(daemon);
    screen.draw(table(shares(now, before).map(topRow), TOP_HEAD));
    before = now;
    await setTimeout(EVERY_MS, undefined, { signal: screen.ended }).catch(() => {});
  }
}

async function look(daemon: Daemon): Promise<Look> {
  return readLook(await daemon.call('getUsage', {}, 30_000));
}
