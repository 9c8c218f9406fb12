import { Listr, PRESET_TIMER } from 'listr2';
import { Failure, messageOf } from '../../src/host/failure.ts';
import { CommandFailed } from '../../src/host/run.ts';
import { debianPackages, requireDebian } from './debian.ts';
import { goToolchain, useGo } from './go.ts';
import { products } from './products.ts';
import type { Step } from './step.ts';

/**
 * Step three of scripts/bootstrap.sh: everything but Node and the npm packages.
 * Says nothing with `--quiet` when nothing is missing.
 */
const STEPS: readonly Step[] = [debianPackages, goToolchain, ...products];

async function bootstrap(quiet: boolean): Promise<void> {
  requireDebian();
  useGo();
  const start = performance.now();
  if (await isComplete()) {
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    if (!quiet) console.log(`bootstrap: nothing is missing (${seconds} s)`);
    return;
  }
  let failure: unknown;
  const tasks = STEPS.map((step) => ({
    title: step.title,
    task: async (_: unknown, task: { output: string }) => {
      const missing = await step.missing();
      if (missing === undefined) return;
      task.output = `missing: ${missing}`;
      const say = (line: string) => {
        task.output = line;
      };
      try {
        await step.bring({ say, progress: process.stdout.isTTY ? say : () => {} });
      } catch (error) {
        failure = error;
        throw new Error('see below', { cause: error });
      }
    },
    rendererOptions: { outputBar: 8, persistentOutput: false },
  }));
  await new Listr(tasks, {
    exitOnError: true,
    rendererOptions: { timer: PRESET_TIMER, showErrorMessage: false },
    fallbackRendererOptions: { timer: PRESET_TIMER },
  })
    .run()
    .catch((error: unknown) => {
      throw failure ?? error;
    });
}

async function isComplete(): Promise<boolean> {
  for (const step of STEPS) if ((await step.missing()) !== undefined) return false;
  return true;
}

try {
  await bootstrap(process.argv.includes('--quiet'));
} catch (error) {
  // What a program said, whole; then the one line that counts.
  if (error instanceof CommandFailed) console.error(error.stderr.trim());
  else if (!(error instanceof Failure)) console.error(error);
  const hint = error instanceof Failure && error.hint !== undefined ? `; ${error.hint}` : '';
  console.error(`bootstrap: ${messageOf(error).split('\n')[0]}${hint}`);
  process.exitCode = error instanceof Failure && error.code === 'bad_input' ? 2 : 1;
}
