import { test } from 'node:test';
import assert from 'node:assert/strict';
import { guestWith } from '../../test/fakes/guest.ts';
import { Leases, type Batch, type LeaseLimits } from './leases.ts';

const GUEST = guestWith(['db.example:5432']);
const WANTED = { name: 'db.example', addresses: ['192.0.2.1'], ttl: 60 };
const LIMITS: LeaseLimits = { ackMs: 5000, perVm: 4, total: 6 };

/** Leases whose watcher is the test. */
function setUp(limits = LIMITS) {
  const state = { now: 0 };
  const leases = new Leases(limits, () => state.now);
  const watch = () => {
    const gone = new AbortController();
    const batches = leases.watch(gone.signal)[Symbol.asyncIterator]();
    // It is watched from the first reading on.
    let reading = batches.next();
    const next = async (): Promise<Batch> => {
      const { value, done } = await reading;
      assert.ok(done !== true, 'the watch has ended');
      reading = batches.next();
      return value;
    };
    return { next, leave: () => gone.abort(), ended: async () => (await reading).done === true };
  };
  return { leases, state, watch };
}

const whyOf = (outcome: unknown) => (outcome as { why: string }).why;

test('leases of one turn go as one batch, and are held once it is acknowledged', async () => {
  const { leases, watch } = setUp();
  const watcher = watch();
  const first = leases.ask(GUEST, WANTED);
  const second = leases.ask(GUEST, { ...WANTED, name: 'other.example' });
  const batch = await watcher.next();
  assert.deepEqual(
    batch.leases?.map(({ vmId, generation, name, addresses, ttlSeconds }) => [
      ...[vmId, generation, name, addresses, ttlSeconds],
    ]),
    [
      [GUEST.vmId, 1, 'db.example', ['192.0.2.1'], 60],
      [GUEST.vmId, 1, 'other.example', ['192.0.2.1'], 60],
    ],
  );
  let settled = false;
  void first.then(() => (settled = true));
  await new Promise(setImmediate);
  assert.equal(settled, false, 'not before it is in force');
  leases.acknowledge(batch.id!, [1]);
  assert.equal(await first, 'held');
  assert.match(whyOf(await second), /does not let/);
});

test('while a batch is under way leases gather, and go as one when it is acknowledged or late', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { leases, watch } = setUp();
  const watcher = watch();
  const asked: Promise<unknown>[] = [];
  const askInTurn = async (name: string) => {
    asked.push(leases.ask(GUEST, { ...WANTED, name }));
    await new Promise(setImmediate);
  };
  const nextNames = async () => {
    const { id, leases: sent = [] } = await watcher.next();
    return { id: id!, names: sent.map(({ name }) => name) };
  };
  await askInTurn('a.example');
  const first = await nextNames();
  assert.deepEqual(first.names, ['a.example']);
  await askInTurn('b.example');
  await askInTurn('c.example');
  leases.acknowledge(first.id, []);
  const second = await nextNames();
  assert.deepEqual(second.names, ['b.example', 'c.example']);
  await askInTurn('d.example');
  // vmsand may wait for one VM's change of policy: others do not wait for that.
  t.mock.timers.tick(20);
  const third = await nextNames();
  assert.deepEqual(third.names, ['d.example']);
  for (const { id } of [second, third]) leases.acknowledge(id, []);
  assert.deepEqual(
    await Promise.all(asked),
    asked.map(() => 'held'),
  );
});

test('the same lease, asked for while it is on its way, goes once; after that it is known', async () => {
  const { leases, state, watch } = setUp();
  const watcher = watch();
  const both = [leases.ask(GUEST, WANTED), leases.ask(GUEST, WANTED)];
  const batch = await watcher.next();
  assert.equal(batch.leases?.length, 1);
  leases.acknowledge(batch.id!, []);
  assert.deepEqual(await Promise.all(both), ['held', 'held']);
  assert.equal(await leases.ask(GUEST, { ...WANTED, ttl: 50 }), 'held');

  const again = async (guest: typeof GUEST, wanted: typeof WANTED, why: string) => {
    const asked = leases.ask(guest, wanted);
    const next = await watcher.next();
    assert.equal(next.leases?.length, 1, why);
    leases.acknowledge(next.id!, []);
    assert.equal(await asked, 'held');
  };
  await again(GUEST, { ...WANTED, addresses: ['192.0.2.1', '192.0.2.2'] }, 'another address');
  await again(GUEST, { ...WANTED, ttl: 600 }, 'for longer');
  const later = guestWith(['db.example:5432'], { generation: 2 });
  await again(later, WANTED, 'another policy');
  state.now = 4000;
  assert.equal(await leases.ask(later, { ...WANTED, ttl: 50 }), 'held');
  state.now = 6000;
  await again(later, { ...WANTED, ttl: 50 }, 'after a while');
});

test('without a watcher nothing is let through', async () => {
  const { leases, watch } = setUp();
  assert.match(whyOf(await leases.ask(GUEST, WANTED)), /daemon is not there/);
  const watcher = watch();
  const waiting = leases.ask(GUEST, WANTED);
  await watcher.next();
  watcher.leave();
  assert.match(whyOf(await waiting), /daemon is not there/);
  assert.match(whyOf(await leases.ask(GUEST, WANTED)), /daemon is not there/);
});

test('what is in force stays so without a watcher, until its time is over', async () => {
  const { leases, state, watch } = setUp();
  const watcher = watch();
  const asked = leases.ask(GUEST, WANTED);
  leases.acknowledge((await watcher.next()).id!, []);
  await asked;
  watcher.leave();
  state.now = 20_000;
  assert.equal(await leases.ask(GUEST, { ...WANTED, ttl: 40 }), 'held');
  assert.match(whyOf(await leases.ask(GUEST, { ...WANTED, ttl: 41 })), /not there/);
});

test('a newer watcher ends the older, and starts from nothing', async () => {
  const { leases, watch } = setUp();
  const older = watch();
  const asked = leases.ask(GUEST, WANTED);
  leases.acknowledge((await older.next()).id!, []);
  await asked;
  const waiting = leases.ask(GUEST, { ...WANTED, name: 'other.example' });
  await older.next();
  const newer = watch();
  assert.match(whyOf(await waiting), /daemon is not there/);
  assert.equal(await older.ended(), true);
  const again = leases.ask(GUEST, WANTED);
  const batch = await newer.next();
  assert.equal(batch.leases?.[0]?.name, 'db.example', 'another daemon may know nothing of it');
  leases.acknowledge(batch.id!, []);
  assert.equal(await again, 'held');
});

test('a daemon that does not answer costs these queries only', async () => {
  const { leases, watch } = setUp({ ackMs: 20, perVm: 4, total: 6 });
  const watcher = watch();
  const asked = leases.ask(GUEST, WANTED);
  const { id } = await watcher.next();
  assert.match(whyOf(await asked), /in time/);
  leases.acknowledge(id!, []);
  leases.acknowledge(999n, []);
  const again = leases.ask(GUEST, WANTED);
  leases.acknowledge((await watcher.next()).id!, []);
  assert.equal(await again, 'held', 'the late word did not count, the next one does');
});

test('what waits is bounded, of one VM and of all, and one VM leaves room for another', async () => {
  const { leases, watch } = setUp();
  const watcher = watch();
  const ask = (guest: typeof GUEST, count: number) =>
    Array.from({ length: count }, (_, i) =>
      leases.ask(guest, { ...WANTED, name: `n${i}.example` }),
    );
  const asked = ask(GUEST, 5);
  assert.match(whyOf(await asked[4]), /too many/);
  const others = ['172.16.2.2', '172.16.3.2'].map((ip) => ask(guestWith(['n.example'], { ip }), 4));
  leases.acknowledge((await watcher.next()).id!, []);
  for (const each of [asked.slice(0, 4), ...others]) {
    assert.deepEqual(await Promise.all(each), ['held', 'held', 'held', 'held']);
  }
  const again = leases.ask(GUEST, { ...WANTED, name: 'more.example' });
  leases.acknowledge((await watcher.next()).id!, []);
  assert.equal(await again, 'held', 'what is acknowledged makes room');
});

test('a watcher that reads nothing any more costs bounded memory', async () => {
  const { leases, watch } = setUp({ ackMs: 1, perVm: 4, total: 6 });
  const watcher = watch();
  const first = leases.ask(GUEST, WANTED);
  await watcher.next();
  await first;
  for (let i = 0; i < 30; i++) {
    assert.match(whyOf(await leases.ask(GUEST, { ...WANTED, name: `n${i}.example` })), /in time/);
  }
  // The reading that was under way has one, eight lie there, and nothing came after.
  for (let i = 0; i < 9; i++) await watcher.next();
  const asked = leases.ask(GUEST, { ...WANTED, name: 'fresh.example' });
  assert.equal((await watcher.next()).leases?.[0]?.name, 'fresh.example');
  await asked;
});
