import { test } from 'node:test';
import assert from 'node:assert/strict';
import dnsPacket from 'dns-packet';
import { a } from '../../test/fakes/upstream.ts';
import { ReadyAnswers } from './ready.ts';

const GUEST = { name: 'a guest as it is now' };

function query(id: number, name = 'www.example'): Buffer {
  return dnsPacket.encode({ type: 'query', id, questions: [{ type: 'A', name }] });
}

function answer(answers = [a('www.example', '192.0.2.1', 30)], flags = 0): Buffer {
  const questions = [{ type: 'A' as const, name: 'www.example' }];
  const opt = { type: 'OPT', name: '.', udpPayloadSize: 1232, flags: 0, options: [] } as never;
  return dnsPacket.encode({
    type: 'response',
    id: 1,
    flags,
    questions,
    answers,
    additionals: [opt],
  });
}

function setUp() {
  const state = { now: 0, used: 0 };
  const ready = new ReadyAnswers<object>(() => state.now);
  const add = (ttl = 30, keepMs = Infinity, bytes = answer(), asked = query(1)) =>
    ready.add(GUEST, asked, bytes, { ttl, keepMs, used: () => state.used++ });
  const get = (id = 2, name?: string) => {
    const bytes = ready.get(GUEST, query(id, name));
    return bytes && dnsPacket.decode(bytes);
  };
  return { state, ready, add, get };
}

test('the same bytes get the same answer, with the new id and the time that is left', () => {
  const { state, add, get } = setUp();
  add();
  state.now = 10_100;
  const again = get(0x1234);
  assert.equal(again?.id, 0x1234);
  const [record] = again.answers ?? [];
  assert.deepEqual(record?.type === 'A' && [record.data, record.ttl], ['192.0.2.1', 19]);
  assert.equal(state.used, 1);
  state.now = 29_100;
  assert.equal(get(), undefined, 'less than a second is left');
});

test('other bytes, another guest, or the same one under another policy have none', () => {
  const { ready, add, get } = setUp();
  add();
  assert.equal(get(2, 'WWW.example'), undefined);
  assert.equal(ready.get({ ...GUEST }, query(2)), undefined);
  ready.clear();
  assert.equal(get(), undefined);
});

test('it is kept no longer than was said, and a cut answer not at all', () => {
  const { state, add, get } = setUp();
  add(30, 5000);
  state.now = 4999;
  assert.ok(get());
  state.now = 5000;
  assert.equal(get(), undefined);
  add(30, Infinity, answer([], dnsPacket.TRUNCATED_RESPONSE));
  assert.equal(get(), undefined);
  add(0);
  assert.equal(get(), undefined);
});

test('a guest has only so many, whatever it asks', () => {
  const { ready, add } = setUp();
  for (let i = 0; i < 10_000; i++) add(30, Infinity, answer(), query(1, `n${i}.example`));
  const kept = Array.from({ length: 10_000 }, (_, i) =>
    ready.get(GUEST, query(1, `n${i}.example`)),
  );
  const count = kept.filter((bytes) => bytes !== undefined).length;
  assert.ok(count > 0 && count <= 256, `${count}`);
  const long = Buffer.concat([query(1), Buffer.alloc(600)]);
  ready.add(GUEST, long, answer(), { ttl: 30, keepMs: Infinity, used: () => {} });
  assert.equal(ready.get(GUEST, long), undefined);
});
