import type { Command } from 'commander';
import type { Daemon } from '../../api/client.ts';
import { DaemonGone } from '../../api/http.ts';
import { loadSettings } from '../../api/settings.ts';
import { Failure } from '../../host/failure.ts';
import { jsonFlag } from '../args/flags.ts';
import { forEachVm } from '../each.ts';
import { printable, remark, say, sayJson } from '../print/text.ts';

/** How long one call waits; then the next one does. */
const PATIENCE_MS = 20_000;
/** VMs outlive the daemon, so waiting does: but not if each that is asked goes away. */
const TRIES = 3;

interface Ended {
  id: string;
  name: string;
  end: 'stopped' | 'removed';
}

export function define(command: Command): Command {
  return command
    .argument('<vm...>', 'ids, names or unique prefixes')
    .addOption(jsonFlag('an array of {"id", "name", "end"}, "end" being "stopped" or "removed",'))
    .addHelpText('after', '\nPrints the name of each as it is stopped, or removed.')
    .action(wait);
}

async function wait(names: string[], options: { json?: true }): Promise<void> {
  const all: Ended[] = [];
  let said = false;
  const daemonGone = (): void => {
    if (!said) remark('vmsan: the daemon went away; waiting goes on');
    said = true;
  };
  const together = { ...options, together: true } as const;
  await forEachVm(loadSettings(), names, together, async (daemon, name) => {
    const ended = await endOf(daemon, name, daemonGone);
    all.push(ended);
    if (!options.json) say(printable(ended.name));
  });
  if (options.json) sayJson(all);
}

async function endOf(daemon: Daemon, reference: string, daemonGone: () => void): Promise<Ended> {
  let vm = reference;
  let name = reference;
  let failures = 0;
  for (;;) {
    try {
      const request = { vm, patienceMs: PATIENCE_MS };
      const answer = await daemon.call('waitVm', request, 2 * PATIENCE_MS);
      const { id = vm, end } = answer;
      name = answer.name ?? id;
      if (end === 'END_STOPPED') return { id, name, end: 'stopped' };
      if (end === 'END_REMOVED') return { id, name, end: 'removed' };
      vm = id;
      failures = 0;
    } catch (error) {
      failures += 1;
      // It went between two calls.
      if (vm !== reference && error instanceof Failure && error.code === 'not_found') {
        return { id: vm, name, end: 'removed' };
      }
      const gone = error instanceof Failure && error.code === 'unavailable';
      if (!gone || failures === TRIES) throw error;
      if (error instanceof DaemonGone) daemonGone();
    }
  }
}
