import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyedMutex, Mutex, Places } from './mutex.ts';

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

test('places: so many at a time, in order, whatever becomes of each', async () => {
  const places = new Places(2);
  const log: string[] = [];
  const gates = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
  const running = gates.map(({ promise }, index) =>
    places
      .run(
        async () => {
          log.push(`run ${index}`);
          await promise;
          if (index === 0) throw new Error('fails');
        },
        () => log.push(`wait ${index}`),
      )
      .catch(() => log.push(`failed ${index}`)),
  );
  assert.deepEqual(log, ['run 0', 'run 1', 'wait 2', 'wait 3']);
  gates[0]!.resolve();
  await running[0];
  assert.deepEqual(log.slice(4), ['run 2', 'failed 0']);
  for (const { resolve } of gates) resolve();
  await Promise.all(running);
  assert.equal(log.at(-1), 'run 3');
});
