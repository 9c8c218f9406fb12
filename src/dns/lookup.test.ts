import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { Answer } from 'dns-packet';
import { messageOf, questionOf, soa } from '../../test/fakes/question.ts';
import { a } from '../../test/fakes/upstream.ts';
import { Cache } from './cache.ts';
import type { Exchange } from './exchange.ts';
import { readAnswer, type Found } from './found.ts';
import { createLookup } from './lookup.ts';
import type { Message } from './message.ts';

const NXDOMAIN = 3;

/** A lookup whose clock and upstreams a test sets, and what it asked. */
function setUp(respond: (asked: number) => Message | null) {
  const state = { now: 0, asked: 0, upstreams: [{ address: '192.0.2.53', port: 53 }] };
  const exchange: Exchange = async () => {
    const message = respond(state.asked++);
    return message === null ? { kind: 'none', tries: ['silent'] } : { kind: 'answer', message };
  };
  const cache = new Cache({ entries: 100, bytes: 1 << 20 }, () => state.now);
  const lookup = createLookup({
    exchange,
    upstreams: () => state.upstreams,
    cache,
    now: () => state.now,
  });
  const find = async (name: string, type = 'A') => {
    const found = await lookup.find(questionOf(name, type));
    assert.ok('ttl' in found);
    return found;
  };
  return { state, lookup, find };
}

test('an answer is kept for its time, in any letter case, and grows old', async () => {
  const { state, find, lookup } = setUp(() => messageOf([a('www.example', '192.0.2.1', 30)]));
  assert.equal((await find('www.example')).ttl, 30);
  state.now = 10_500;
  assert.equal((await find('WWW.Example')).ttl, 19);
  assert.equal(state.asked, 1);
  await find('www.example', 'TXT');
  assert.equal(state.asked, 2, 'another type is another question');
  state.now = 29_100;
  assert.equal(lookup.known(questionOf('www.example')), undefined, 'less than a second is left');
  await find('www.example');
  assert.equal(state.asked, 3);
});

test('"no such name" answers every type, "no such records" its own', async () => {
  const authorities = [soa('example', 60, 60)];
  const gone = setUp(() => messageOf([], { flags: NXDOMAIN, authorities }));
  await gone.find('no.example');
  assert.equal((await gone.find('no.example', 'TXT')).rcode, NXDOMAIN);
  assert.equal(gone.state.asked, 1);
  const none = setUp(() => messageOf([], { authorities }));
  await none.find('www.example');
  await none.find('www.example');
  await none.find('www.example', 'TXT');
  assert.equal(none.state.asked, 2);
  const alias: Answer = { type: 'CNAME', name: 'www.example', ttl: 60, data: 'no.example' };
  const behind = setUp(() => messageOf([alias], { flags: NXDOMAIN, authorities }));
  await behind.find('www.example');
  await behind.find('www.example', 'CNAME');
  assert.equal(behind.state.asked, 2, 'no such name behind an alias says nothing of the alias');
});

test('what holds for one time only is asked again, a failure after a moment', async () => {
  const zero = setUp(() => messageOf([a('www.example', '192.0.2.1', 0)]));
  await zero.find('www.example');
  await zero.find('www.example');
  assert.equal(zero.state.asked, 2);
  const failing = setUp((asked) =>
    asked === 0 ? null : messageOf([a('www.example', '192.0.2.1')]),
  );
  const first = await failing.lookup.find(questionOf('www.example'));
  assert.deepEqual(first, { tries: ['silent'] });
  await failing.lookup.find(questionOf('WWW.example'));
  assert.equal(failing.state.asked, 1, 'not within two seconds');
  failing.state.now = 2100;
  assert.equal((await failing.find('www.example')).answers.length, 1);
});

test('other upstreams, other answers', async () => {
  const { state, find } = setUp((asked) => messageOf([a('www.example', `192.0.2.${asked}`)]));
  await find('www.example');
  state.upstreams = [{ address: '203.0.113.53', port: 53 }];
  assert.deepEqual((await find('www.example')).answers[0]?.data, Buffer.from([192, 0, 2, 1]));
  state.upstreams = [{ address: '203.0.113.53', port: 53 }];
  await find('www.example');
  assert.equal(state.asked, 2, 'the same ones in a new snapshot are no others');
});

test('an answer of upstreams that are no longer asked is not kept', async () => {
  const { state, find } = setUp(() => {
    state.upstreams = [{ address: '203.0.113.53', port: 53 }];
    return messageOf([a('www.example', '192.0.2.1')]);
  });
  await find('www.example');
  await find('www.example');
  assert.equal(state.asked, 2);
});

test('the cache is bounded in entries and in bytes; the least used goes first', () => {
  const found = (name: string, bytes = 10): Found => {
    const answer = { type: 'TXT' as const, name, ttl: 60, data: [Buffer.alloc(bytes)] };
    const read = readAnswer(questionOf(name, 'TXT'), messageOf([answer]));
    assert.ok(read);
    return read;
  };
  const add = (cache: Cache, name: string, bytes?: number) =>
    cache.add(questionOf(name, 'TXT'), found(name, bytes));
  const few = new Cache({ entries: 2, bytes: 1 << 20 }, () => 0);
  for (const name of ['a.example', 'b.example']) add(few, name);
  assert.ok(few.get(questionOf('a.example', 'TXT')));
  add(few, 'c.example');
  assert.ok(few.get(questionOf('a.example', 'TXT')));
  assert.equal(few.get(questionOf('b.example', 'TXT')), undefined);

  const small = new Cache({ entries: 10_000, bytes: 16_000 }, () => 0);
  for (let i = 0; i < 1000; i++) add(small, `n${i}.example`, 200);
  assert.ok(small.size.bytes <= 16_000 && small.size.entries > 5, JSON.stringify(small.size));
  add(small, 'n999.example', 200);
  assert.ok(small.size.bytes <= 16_000);
  const before = small.size;
  add(small, 'huge.example', 2000);
  assert.deepEqual(small.size, before, 'one answer does not push out all others');
});

test('what is kept keeps no memory but its own', () => {
  const cache = new Cache();
  const question = questionOf('www.example', 'A');
  const read = readAnswer(
    question,
    messageOf([
      { type: 'CNAME', name: 'www.example', ttl: 60, data: 'b.example' },
      a('b.example', '192.0.2.1'),
    ]),
  );
  assert.ok(read);
  cache.add(question, read);
  const kept = cache.get(question);
  assert.deepEqual(kept?.answers, read.answers);
  for (const { name, data } of kept.answers) {
    assert.ok(name.buffer.byteLength < 256 && data.buffer.byteLength < 256);
  }
});
