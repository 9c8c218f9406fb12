import type { Command } from 'commander';
import { withDaemon } from '../../api/client.ts';
import { loadSettings } from '../../api/settings.ts';
import { durationOf } from '../args/duration.ts';
import { jsonFlag, valueFlag } from '../args/flags.ts';
import { follow } from '../follow.ts';
import { remark, say, sayJson } from '../print/text.ts';
import { entryJson, trafficRows, TrafficTable } from '../print/traffic.ts';

interface Options {
  follow?: true;
  denied?: true;
  since?: number;
  json?: true;
}

export function define(command: Command): Command {
  return command
    .argument('<vm>', 'an id, a name or a unique prefix')
    .option('-f, --follow', 'go on as it comes, until the VM is removed')
    .option('--denied', 'only what was denied')
    .addOption(valueFlag('--since <time>', 'only what was decided lately: 30s, 5m, 2h', durationOf))
    .addOption(jsonFlag('an array, or with --follow a line each,'))
    .addHelpText(
      'after',
      `
What was decided of what the VM asked for, by which rule and why, newest last: names looked up (dns),
requests through the proxy (tls, http), addresses that the kernel let it reach or not (address), frames
that are not its own (frame), and packets of no flow or past its caps (flow). Decisions that are
alike are one line, with the time of the last and their number; with --follow, how many are new.`,
    )
    .action(traffic);
}

async function traffic(vm: string, options: Options): Promise<void> {
  const settings = loadSettings();
  const request = {
    vm,
    denied: options.denied === true,
    sinceMs: String(options.since ?? 0),
  };
  if (options.follow) {
    const table = new TrafficTable();
    await follow(settings, 'watchTraffic', { ...request, follow: true }, (message) => {
      const entries = (message.entries ?? []).map(entryJson);
      for (const entry of entries) say(options.json ? JSON.stringify(entry) : table.line(entry));
      sayLeftOut(message.leftOut);
    });
    return;
  }
  await withDaemon(settings, async (daemon) => {
    for await (const message of daemon.stream('watchTraffic', request)) {
      const entries = (message.entries ?? []).map(entryJson);
      if (options.json) sayJson(entries);
      else if (entries.length > 0) say(trafficRows(entries));
      else remark('nothing was decided');
      sayLeftOut(message.leftOut);
    }
  });
}

function sayLeftOut(count: string | number = 0): void {
  if (Number(count) === 0) return;
  remark(`vmsan: ${count} more are not listed: too many at once, or too long ago`);
}
