import type { Command } from 'commander';
import { withDaemon } from '../../api/client.ts';
import { renderMetrics } from '../../api/metrics.ts';
import { loadSettings } from '../../api/settings.ts';
import { usageOf } from '../../api/usage.ts';
import { jsonFlag } from '../args/flags.ts';
import { sayJson } from '../print/text.ts';

export function define(command: Command): Command {
  return command
    .addOption(jsonFlag('the same numbers'))
    .addHelpText(
      'after',
      `
In the text format of Prometheus. With VMSAN_METRICS=127.0.0.1:9464 the daemon
serves it there too, at /metrics.`,
    )
    .action(metrics);
}

async function metrics(options: { json?: true }): Promise<void> {
  const { vms = [] } = await withDaemon(loadSettings(), (daemon) =>
    daemon.call('getUsage', {}, 30_000),
  );
  const usages = vms.map(usageOf);
  if (options.json) sayJson(usages);
  else process.stdout.write(renderMetrics(usages));
}
