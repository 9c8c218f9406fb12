import { withDaemon, type Daemon } from '../api/client.ts';
import { asFailure, exitCodeOf } from '../api/failures.ts';
import type { Settings } from '../api/settings.ts';
import { printFailure } from './print/failure.ts';

/** From the mildest: a VM that is not there hides no real failure. */
const SEVERITY = [0, 3, 2, 1];

/**
 * Does one thing to several VMs in turn. A failure is printed and the rest goes
 * on; the process's exit code becomes the worst one.
 */
export async function forEachVm(
  settings: Settings,
  names: readonly string[],
  options: { json?: true },
  act: (daemon: Daemon, name: string) => Promise<void>,
): Promise<void> {
  let worst = 0;
  for (const name of new Set(names)) {
    try {
      await withDaemon(settings, (daemon) => act(daemon, name));
    } catch (error) {
      const failure = asFailure(error);
      printFailure(failure, { json: options.json ?? false });
      worst = Math.max(worst, SEVERITY.indexOf(exitCodeOf(failure)));
    }
  }
  process.exitCode = SEVERITY[worst] ?? 1;
}
