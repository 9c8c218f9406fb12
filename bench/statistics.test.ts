import assert from 'node:assert/strict';
import { test } from 'node:test';
import { summarize } from './statistics.ts';

test('percentiles are samples, by nearest rank', () => {
  const samples = Array.from({ length: 200 }, (_, index) => 200 - index);
  assert.deepEqual(summarize(samples), { n: 200, min: 1, median: 100, p99: 198, max: 200 });
});

test('of a few samples p99 is the worst', () => {
  assert.deepEqual(summarize([3, 1, 2]), { n: 3, min: 1, median: 2, p99: 3, max: 3 });
  assert.throws(() => summarize([]), RangeError);
});
