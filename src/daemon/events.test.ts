import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../host/failure.ts';
import { Events } from './events.ts';

const WEB = { id: 'vm-00000001', name: 'web' };

test('a follower gets what there is and what comes, in order, until it leaves', async () => {
  const events = new Events();
  events.add('created', WEB);
  const leaving = new AbortController();
  const seen: string[] = [];
  const following = (async () => {
    for await (const { kind } of events.follow(leaving.signal)) {
      seen.push(kind);
      if (kind === 'created') events.add('stopped', WEB, 'asked for');
      if (kind === 'stopped') setImmediate(() => events.add('removed', WEB));
      if (kind === 'removed') leaving.abort();
    }
  })();
  await following;
  assert.deepEqual(seen, ['created', 'stopped', 'removed']);
});

test('the newest thousand are kept, and a reader that missed some is told', async () => {
  const events = new Events();
  events.add('gate', null);
  const slow = events.follow(new AbortController().signal);
  await slow.next();
  for (let count = 0; count < 1500; count += 1) events.add('network', WEB, String(count));
  assert.equal(events.all().length, 1000);
  assert.equal(events.all()[0]?.detail, '500');
  await assert.rejects(
    slow.next(),
    (error) => error instanceof Failure && error.code === 'exhausted',
  );
});
