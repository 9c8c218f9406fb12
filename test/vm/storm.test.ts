import assert from 'node:assert/strict';
import { test } from 'node:test';
import { storm } from '../storm/storm.ts';

test('20 VMs at once, each under policies of its own: created, exec’d, changed, removed; nothing is left', async () => {
  const { findings, done } = await storm({ vms: 20, kills: 0, seed: 1 });
  assert.deepEqual(findings, []);
  assert.deepEqual(done, { create: 20, exec: 80, network: 20, remove: 20 });
});

test('kill -9 of the daemon at random moments: nothing is left, nothing is open', async () => {
  const { findings, frames } = await storm({ vms: 4, kills: 6, seed: 1 });
  assert.deepEqual(findings, []);
  assert.ok(frames > 0);
});
