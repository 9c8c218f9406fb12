import { fileURLToPath } from 'node:url';
import { run } from '../host/run.ts';

/** From sources this module is in src/guest, bundled in build/<directory>: both two below. */
const AGENT = fileURLToPath(new URL('../../build/agent', import.meta.url));

let known: Promise<number | null> | undefined;

/**
 * The rate of this host's time-stamp counter in kHz, measured once (0.1 s);
 * null where there is none (arm64). The kernel's own figure is in no file
 * that every host has: /proc/cpuinfo gives the current clock of a core.
 * @throws CommandFailed when the agent's binary is missing or the counter stands still
 */
export function hostTscKhz(): Promise<number | null> {
  if (process.arch !== 'x64') return Promise.resolve(null);
  known ??= measure();
  // The next call tries again.
  known.catch(() => (known = undefined));
  return known;
}

async function measure(): Promise<number> {
  const { stdout } = await run([AGENT, 'tsc-khz']);
  return Number(stdout.trim());
}
