import { withDaemon, type Daemon } from '../api/client.ts';
import { asFailure, exitCodeOf } from '../api/failures.ts';
import type { Settings } from '../api/settings.ts';
import { printFailure } from './print/failure.ts';

/** From the mildest: a VM that is not there hides no real failure. */
const SEVERITY = [0, 3, 2, 1];

/**
 * Does one thing to several VMs: in turn, or `together`. A failure is printed
 * and the rest goes on; the process's exit code becomes the worst one.
 */
export async function forEachVm(
  settings: Settings,
  names: readonly string[],
  options: { json?: true; together?: true },
  act: (daemon: Daemon, name: string) => Promise<void>,
): Promise<void> {
  let worst = 0;
  const attempt = async (name: string): Promise<void> => {
    try {
      await withDaemon(settings, (daemon) => act(daemon, name));
    } catch (error) {
      const failure = asFailure(error);
      printFailure(failure, { json: options.json ?? false });
      worst = Math.max(worst, SEVERITY.indexOf(exitCodeOf(failure)));
    }
  };
  const targets = [...new Set(names)];
  if (options.together) await Promise.all(targets.map(attempt));
  else for (const name of targets) await attempt(name);
  process.exitCode = SEVERITY[worst] ?? 1;
}
