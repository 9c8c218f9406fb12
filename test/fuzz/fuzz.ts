import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { clientHello } from './client-hello.ts';
import { dns } from './dns.ts';
import { domain } from './domain.ts';
import { httpHead } from './http-head.ts';
import { mutate } from './mutate.ts';
import { Random } from './random.ts';
import type { Target } from './target.ts';

export const TARGETS: readonly Target[] = [dns, clientHello, httpHead, domain];

/** Inputs that are kept because they led somewhere new. */
const MAX_CORPUS = 2000;
const MAX_KEPT_BYTES = 4096;
/** An input that takes longer than this, three times in a row, hangs. */
const SLOW_MS = 100;

/** What a run found out. */
export interface FuzzResult {
  inputs: number;
  /** Different ends that inputs came to. */
  outcomes: number;
  corpus: number;
  /** Of one input. */
  slowestMs: number;
}

/** An input for which something does not hold. */
export class FuzzFailure extends Error {
  readonly input: Buffer;

  constructor(target: string, input: Buffer, cause: unknown) {
    super(`${target}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.input = input;
  }
}

export interface FuzzOptions {
  seed: number;
  /** Asked before each input, with the number of those before it. */
  goesOn: (inputs: number) => boolean;
}

/**
 * Tries the saved seeds of a target as they are, then changed ones, the same
 * for the same seed.
 * @throws FuzzFailure at the first input for which something does not hold
 */
export function fuzz(target: Target, { seed, goesOn }: FuzzOptions): FuzzResult {
  const random = new Random(seed);
  const corpus = seedsOf(target);
  const outcomes = new Set<string>();
  const { length: seeds } = corpus;
  let slowestMs = 0;
  let inputs = 0;
  for (; goesOn(inputs); inputs++) {
    const input = inputs < seeds ? corpus[inputs]! : mutate(corpus, target.words, random);
    const start = performance.now();
    const outcome = tried(target, input, random);
    let ms = performance.now() - start;
    for (let again = 0; ms > SLOW_MS && again < 3; again++) {
      // What it takes itself, on a machine that has other things to do too.
      const before = process.cpuUsage();
      tried(target, input, random);
      const { user, system } = process.cpuUsage(before);
      ms = Math.min(ms, (user + system) / 1000);
    }
    if (ms > SLOW_MS) throw new FuzzFailure(target.name, input, `takes ${ms.toFixed()} ms`);
    slowestMs = Math.max(slowestMs, ms);
    if (outcomes.has(outcome) || outcomes.size >= MAX_CORPUS) continue;
    outcomes.add(outcome);
    if (inputs >= seeds && input.length <= MAX_KEPT_BYTES) corpus.push(inOwnMemory(input));
  }
  return { inputs, outcomes: outcomes.size, corpus: corpus.length, slowestMs };
}

/** A copy that does not keep the 64 KiB of which a small Buffer is a part. */
function inOwnMemory(input: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(input.length);
  input.copy(copy);
  return copy;
}

function tried(target: Target, input: Buffer, random: Random): string {
  try {
    return target.check(input, random);
  } catch (error) {
    throw new FuzzFailure(target.name, input, error);
  }
}

/** The files of test/fuzz/seeds/NAME, inputs that once failed among them. */
export function seedsOf({ name }: Target): Buffer[] {
  const folder = join(import.meta.dirname, 'seeds', name);
  return globSync('*', { cwd: folder })
    .toSorted()
    .map((file) => readFileSync(join(folder, file)));
}
