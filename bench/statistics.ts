/** What was measured again and again, in the order it was measured. */
export interface Series {
  /** A short name, unique in a report: `create/bare`. */
  name: string;
  /** What one sample is, in a sentence for people; of another unit than milliseconds it says so. */
  what: string;
  /** Milliseconds, or what `what` says. */
  samples: number[];
}

export interface Summary {
  n: number;
  /** Milliseconds. */
  min: number;
  median: number;
  p99: number;
  max: number;
}

/** @throws RangeError when there are no samples */
export function summarize(samples: readonly number[]): Summary {
  const sorted = samples.toSorted((a, b) => a - b);
  if (sorted.length === 0) throw new RangeError('no samples');
  return {
    n: sorted.length,
    min: sorted[0]!,
    median: percentile(sorted, 50),
    p99: percentile(sorted, 99),
    max: sorted.at(-1)!,
  };
}

/** By nearest rank: always a sample, and the worst one where there are fewer than 100 for p99. */
function percentile(sorted: readonly number[], percent: number): number {
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)]!;
}
