import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import dnsPacket from 'dns-packet';
import { FakeUpstream, a, answerTo, framed } from '../../test/fakes/upstream.ts';
import { createExchange, type ExchangeResult } from './exchange.ts';
import { TYPE } from './message.ts';
import { readName } from './name.ts';
import type { Upstream } from './upstream.ts';

/** Short tries: the fakes either answer at once or never. */
const TRY_MS = 300;

function question(text: string, type: number = TYPE.A) {
  const labels = text.split('.').map((label) => `${String.fromCharCode(label.length)}${label}`);
  const read = readName(Buffer.from(`${labels.join('')}\0`, 'latin1'), 0);
  assert.ok(read);
  return { name: read.name, type };
}

function exchangeWith(...upstreams: Upstream[]) {
  return createExchange({ upstreams: () => upstreams, tryMs: TRY_MS });
}

function addresses(result: ExchangeResult): string[] {
  assert.equal(result.kind, 'answer', JSON.stringify(result));
  return result.kind === 'answer'
    ? result.message.answers.filter((r) => r.type === TYPE.A).map((r) => r.data.join('.'))
    : [];
}

test('an upstream sees name in lower case, type and class, and nothing else', async () => {
  await using fake = await FakeUpstream.start((q) => [
    answerTo(q, [a('www.example', '192.0.2.1')]),
  ]);
  const exchange = exchangeWith(fake.upstream);
  assert.deepEqual(addresses(await exchange(question('WWW.Example'))), ['192.0.2.1']);
  const [seen] = fake.seen;
  assert.ok(seen);
  const question1 = { name: 'www.example', type: 'A', class: 'IN' };
  assert.deepEqual(seen.packet.questions, [question1]);
  assert.equal(seen.packet.flags, dnsPacket.RECURSION_DESIRED);
  assert.equal(seen.bytes.length, 12 + 13 + 4 + 11, 'header, question, an empty OPT record');
});

test('each query has its own id and port', async () => {
  await using fake = await FakeUpstream.start((q) => [answerTo(q, [])]);
  const exchange = exchangeWith(fake.upstream);
  await Promise.all(Array.from({ length: 20 }, (_, i) => exchange(question(`n${i}.example`))));
  assert.equal(new Set(fake.seen.map((q) => q.sourcePort)).size, 20);
  assert.ok(new Set(fake.seen.map((q) => q.packet.id)).size > 15);
});

test('answers with another id, question or source are not believed', async () => {
  const stranger = createSocket('udp4');
  await using fake = await FakeUpstream.start(async (query) => {
    const forged = (packet: Partial<typeof query.packet>) =>
      answerTo({ packet: { ...query.packet, ...packet } }, [a('www.example', '198.51.100.66')]);
    const other = { type: 'A' as const, name: 'other.example', class: 'IN' as const };
    // Sent first, on loopback, hence there before the true answer.
    await new Promise((sent) => stranger.send(forged({}), query.sourcePort, '127.0.0.1', sent));
    return [
      forged({ id: (query.packet.id ?? 0) ^ 1 }),
      forged({ questions: [other] }),
      forged({ questions: [{ ...other, name: 'www.example', type: 'TXT' }] }),
      forged({ questions: [{ ...other, name: 'www.example', class: 'CH' }] }),
      forged({ questions: [] }),
      answerTo({ packet: { ...query.packet, id: (query.packet.id ?? 0) ^ 1 } }, [], {
        flags: dnsPacket.TRUNCATED_RESPONSE,
      }),
      query.bytes,
      Buffer.from('garbage'),
      answerTo(query, [a('www.example', '192.0.2.1')]),
    ];
  });
  try {
    const exchange = exchangeWith(fake.upstream);
    assert.deepEqual(addresses(await exchange(question('www.example'))), ['192.0.2.1']);
    assert.equal(fake.seen.length, 1);
  } finally {
    stranger.close();
  }
});

test('a cut answer is asked for again over TCP, in whatever pieces it comes', async () => {
  const many = Array.from({ length: 200 }, (_, i) => a('big.example', `192.0.2.${i}`));
  await using fake = await FakeUpstream.start((query) => {
    if (query.transport === 'udp') {
      const whole = answerTo(query, many, { flags: dnsPacket.TRUNCATED_RESPONSE });
      return [whole.subarray(0, 505)];
    }
    const stream = framed(answerTo(query, many));
    return [stream.subarray(0, 1), stream.subarray(1, 700), stream.subarray(700)];
  });
  const exchange = exchangeWith(fake.upstream);
  assert.equal(addresses(await exchange(question('big.example'))).length, 200);
  const transports = fake.seen.map((q) => q.transport);
  assert.deepEqual(transports, ['udp', 'tcp']);
});

test('a silent upstream and one that fails give way to the next', async () => {
  await using silent = await FakeUpstream.start(() => []);
  await using failing = await FakeUpstream.start((q) => [answerTo(q, [], { rcode: 2 })]);
  await using good = await FakeUpstream.start((q) => [answerTo(q, [a('x.example', '192.0.2.1')])]);
  const exchange = exchangeWith(silent.upstream, failing.upstream, good.upstream);
  assert.deepEqual(addresses(await exchange(question('x.example'))), ['192.0.2.1']);
  assert.deepEqual([silent.seen.length, failing.seen.length], [1, 1]);
  // The silent one is asked last from now on: the second question does not wait for it.
  await exchange(question('y.example'));
  assert.deepEqual([silent.seen.length, failing.seen.length], [1, 2]);
});

test('a closed port is noticed at once', async () => {
  await using good = await FakeUpstream.start((q) => [answerTo(q, [a('x.example', '192.0.2.1')])]);
  const gone = createSocket('udp4').bind(0, '127.0.0.1');
  await once(gone, 'listening');
  const closed = { address: '127.0.0.1', port: gone.address().port };
  gone.close();
  await once(gone, 'close');
  const exchange = createExchange({ upstreams: () => [closed, good.upstream], tryMs: 60_000 });
  assert.deepEqual(addresses(await exchange(question('x.example'))), ['192.0.2.1']);
});

test('when nobody answers, it ends with what was tried', async () => {
  await using silent = await FakeUpstream.start(() => []);
  const result = await createExchange({ upstreams: () => [silent.upstream], tryMs: 20 })(
    question('x.example'),
  );
  assert.equal(result.kind, 'none');
  assert.equal(silent.seen.length, 2, 'asked twice');
  assert.deepEqual(await exchangeWith()(question('x.example')), { kind: 'none', tries: [] });
});

test('the same question at the same time goes out once', async () => {
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  await using fake = await FakeUpstream.start(async (query) => {
    await released;
    return [answerTo(query, [a('x.example', '192.0.2.1')])];
  });
  const exchange = createExchange({ upstreams: () => [fake.upstream] });
  const both = [exchange(question('x.example')), exchange(question('X.EXAMPLE'))];
  release();
  for (const result of await Promise.all(both)) assert.deepEqual(addresses(result), ['192.0.2.1']);
  assert.equal(fake.seen.length, 1);
  await exchange(question('x.example'));
  assert.equal(fake.seen.length, 2, 'nothing is kept after the answer');
});
