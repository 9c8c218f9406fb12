import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { identify, isAlive, killProcess, waitUntilGone } from './process.ts';

test('a process is known by its id and its start', async () => {
  const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  await once(child, 'spawn');
  const identity = identify(child.pid!);
  assert.ok(identity);
  assert.equal(isAlive(identity), true);

  const successor = { ...identity, startTicks: '1' };
  assert.equal(isAlive(successor), false);
  killProcess(successor);
  assert.equal(isAlive(identity), true, 'a namesake is left alone');

  killProcess(identity);
  assert.equal(await waitUntilGone(identity, { deadlineMs: 5_000 }), true);
  killProcess(identity);
  assert.equal(identify(child.pid!), null);
});

test('what does not end is told at the deadline', async () => {
  const self = identify(process.pid);
  assert.ok(self);
  assert.equal(await waitUntilGone(self, { deadlineMs: 0 }), false);
});
