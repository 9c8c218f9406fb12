import { test } from 'node:test';
import assert from 'node:assert/strict';
import { TARGETS, fuzz, seedsOf } from './fuzz.ts';

const INPUTS = 20_000;

for (const target of TARGETS) {
  test(`${target.name}: the saved seeds, and a bounded run of changed ones`, () => {
    assert.ok(seedsOf(target).length > 0);
    const { outcomes } = fuzz(target, { seed: 20_261_124, goesOn: (inputs) => inputs < INPUTS });
    assert.ok(outcomes >= 10, `inputs came to ${outcomes} different ends: the seeds lead nowhere`);
  });
}
