import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { until } from '../../test/lab/until.ts';
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

test('a process is there as long as one of its threads is: so are its descriptors', async () => {
  const program = [
    'import ctypes, sys, threading',
    'threading.Thread(target=sys.stdin.read).start()',
    'print("begun", flush=True)',
    'ctypes.CDLL(None).pthread_exit(None)',
  ];
  const child = spawn('python3', ['-c', program.join('\n')], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  await once(child.stdout, 'data');
  const identity = identify(child.pid!);
  assert.ok(identity);
  const status = () => readFileSync(`/proc/${child.pid}/status`, 'utf8');
  await until('its first thread has ended', () => /^State:\tZ/m.test(status()));
  assert.equal(isAlive(identity), true);
  child.stdin.end();
  assert.equal(await waitUntilGone(identity, { deadlineMs: 5_000 }), true);
});
