import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyedMutex, Mutex } from './mutex.ts';

test('actions run one at a time, in order, also after a failure', async () => {
  const mutex = new Mutex();
  const log: string[] = [];
  const first = mutex.run(async () => {
    log.push('first begins');
    await Promise.resolve();
    log.push('first ends');
    throw new Error('no');
  });
  const second = mutex.run(() => log.push('second'));
  await assert.rejects(first, /no/);
  await second;
  assert.deepEqual(log, ['first begins', 'first ends', 'second']);
});

test('keys do not wait for each other', async () => {
  const mutex = new KeyedMutex();
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const a = mutex.run('a', () => held);
  assert.equal(await mutex.run('b', () => 'b'), 'b');
  let done = false;
  const again = mutex.run('a', () => (done = true));
  await Promise.resolve();
  assert.equal(done, false);
  release();
  await Promise.all([a, again]);
  assert.equal(done, true);
});
