/**
 * `npm run fuzz [-- --target NAME] [--inputs N | --seconds N] [--seed N]`
 *
 * Tries changed inputs on each parser of what guests send, or on one. Ends with
 * 1 and the input's file at the first that breaks a rule.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { FuzzFailure, TARGETS, fuzz } from './fuzz.ts';

const FOUND = join(import.meta.dirname, '../../build/fuzz');
/** More than this left over when a run is done is a leak; a corpus has a few MB. */
const MAX_GROWTH_MB = 64;

const { values } = parseArgs({
  options: {
    target: { type: 'string' },
    inputs: { type: 'string' },
    seconds: { type: 'string' },
    seed: { type: 'string' },
  },
});
const number = (text: string | undefined, name: string): number | undefined => {
  if (text === undefined) return undefined;
  if (/^\d{1,12}$/.test(text)) return Number(text);
  console.error(`--${name}: ${text} is not a number`);
  process.exit(2);
};
const inputs = number(values.inputs, 'inputs');
const seconds = number(values.seconds, 'seconds') ?? (inputs === undefined ? 60 : undefined);
const seed = number(values.seed, 'seed') ?? Date.now() % 1_000_000_000;
const targets = TARGETS.filter(({ name }) => values.target === undefined || name === values.target);
if (targets.length === 0) {
  console.error(`--target: one of ${TARGETS.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
/** Megabytes in use after a collection. */
function memory(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / (1 << 20);
}

console.log(`seed ${seed}`);
for (const target of targets) {
  const before = memory();
  const start = performance.now();
  const end = start + (seconds ?? Infinity) * 1000;
  try {
    const result = fuzz(target, {
      seed,
      goesOn: (n) => n < (inputs ?? Infinity) && (n % 64 !== 0 || performance.now() < end),
    });
    const grown = memory() - before;
    const took = (performance.now() - start) / 1000;
    console.log(
      `${target.name.padEnd(13)}${result.inputs} inputs in ${took.toFixed(1)} s, ` +
        `${result.outcomes} outcomes, ${result.corpus} kept, slowest ${result.slowestMs.toFixed(1)} ms, ` +
        `${grown.toFixed(1)} MB more in use, peak ${(process.resourceUsage().maxRSS / 1024).toFixed()} MB`,
    );
    if (grown > MAX_GROWTH_MB)
      throw new Error(`${target.name}: ${grown.toFixed()} MB are not given back`);
  } catch (error) {
    if (!(error instanceof FuzzFailure)) throw error;
    mkdirSync(FOUND, { recursive: true });
    const id = createHash('sha256').update(error.input).digest('hex').slice(0, 12);
    const file = join(FOUND, `${target.name}-${id}`);
    writeFileSync(file, error.input);
    console.error(error.stack);
    console.error(
      `the input is in ${file}; mend it, and keep it in test/fuzz/seeds/${target.name}/`,
    );
    process.exit(1);
  }
}
