import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { inTree } from '../tree.ts';

/** One kind of tests. */
export interface Level {
  name: string;
  globs: string[];
  /** How many files run at the same time. */
  concurrency: number;
  /** Milliseconds that one file may take. */
  timeoutMs: number;
  /** It needs root, and must leave nothing on the machine. */
  touchesHost: boolean;
}

export const LEVELS: readonly Level[] = [
  {
    name: 'unit',
    globs: [
      'src/**/*.test.ts',
      'scripts/**/*.test.ts',
      'bench/*.test.ts',
      'test/lab/**/*.test.ts',
      'test/fuzz/*.test.ts',
    ],
    concurrency: availableParallelism(),
    timeoutMs: 60_000,
    touchesHost: false,
  },
  {
    name: 'kernel',
    globs: ['test/kernel/**/*.test.ts'],
    concurrency: 2,
    timeoutMs: 300_000,
    touchesHost: true,
  },
  {
    name: 'vm',
    globs: ['test/vm/**/*.test.ts'],
    concurrency: 2,
    timeoutMs: 600_000,
    touchesHost: true,
  },
];

/** The level's files, as paths in the tree, whose path has one of `filters` in it. */
export function filesOf(level: Level, filters: readonly string[]): string[] {
  return globSync(level.globs, { cwd: inTree('.') })
    .filter((path) => filters.length === 0 || filters.some((filter) => path.includes(filter)))
    .toSorted();
}
