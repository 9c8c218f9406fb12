import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from './until.ts';

test('gives the first truthy value, asking until then', async () => {
  let asked = 0;
  assert.equal(await until('three', () => (asked += 1) >= 3 && 'three'), 'three');
  assert.equal(asked, 3);
});

test('names the condition and the last value when time is up', async () => {
  await assert.rejects(
    until('the count is 5', () => Promise.resolve(0), { deadlineMs: 20 }),
    /not so after 20 ms: the count is 5 \(last seen: 0\)/,
  );
});

test('takes an error for "not yet", and tells it when time is up', async () => {
  let asked = 0;
  const second = () => {
    if ((asked += 1) === 1) throw new Error('refused');
    return 'there';
  };
  assert.equal(await until('it is there', second), 'there');
  const never = () => {
    throw new Error('refused');
  };
  await assert.rejects(until('it is there', never, { deadlineMs: 20 }), /last seen: refused/);
});
