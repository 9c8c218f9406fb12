import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { Logger } from 'pino';
import { boundedReport } from './report.ts';

test('each kind of event is logged once in a while, with the number left out', () => {
  const lines: unknown[][] = [];
  const logger = { warn: (...line: unknown[]) => lines.push(line) } as unknown as Logger;
  let now = 1000;
  const report = boundedReport(logger, () => now);
  for (let i = 0; i < 100; i++) report('flood', { i });
  report('other');
  now += 10_000;
  report('flood', { i: 100 });
  assert.deepEqual(lines, [
    [{ i: 0 }, 'flood'],
    [{}, 'other'],
    [{ i: 100, leftOut: 99 }, 'flood'],
  ]);
  for (let i = 0; i < 1000; i++) report(`kind ${i}`);
  assert.ok(lines.length < 100, 'kinds are bounded too');
});
