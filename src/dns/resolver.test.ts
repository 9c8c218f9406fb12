import { test } from 'node:test';
import assert from 'node:assert/strict';
import dnsPacket from 'dns-packet';
import { a } from '../../test/fakes/upstream.ts';
import type { Exchange, ExchangeResult } from './exchange.ts';
import { decodeMessage } from './message.ts';
import { createLookup } from './lookup.ts';
import { createResolver, type Decide, type Guest } from './resolver.ts';
import type { Upstream } from './upstream.ts';

interface PolicyGuest extends Guest {
  policy: string;
}
const GUEST: PolicyGuest = {
  ip: '172.16.1.2',
  vmId: 'vm-00000001',
  generation: 1,
  policy: 'allow-all',
};
const byPolicy: Decide<PolicyGuest> = (_query, guest) =>
  guest.policy === 'allow-all'
    ? { allow: true, rule: 'default' }
    : { allow: false, rule: 'default', reason: `it is ${guest.policy}` };

/** A resolver with one guest, which a test may swap, and an upstream that is a function. */
function setUp(upstream: Exchange, limits = { perGuest: 4, total: 6 }) {
  const guests = new Map([[GUEST.ip, GUEST]]);
  const events: string[] = [];
  const upstreams = { exchange: upstream, list: [] as Upstream[] };
  const resolve = createResolver({
    guestOf: (source) => guests.get(source),
    decide: byPolicy,
    lookup: createLookup({
      exchange: (question) => upstreams.exchange(question),
      upstreams: () => upstreams.list,
    }),
    report: (event) => events.push(event),
    limits,
  });
  const ask = async (bytes: Buffer, transport: 'udp' | 'tcp' = 'udp', source = GUEST.ip) => {
    const reply = await resolve(bytes, source, transport);
    return reply && ({ ...dnsPacket.decode(reply), bytes: reply } as Reply);
  };
  return { guests, events, upstreams, ask };
}
type Reply = dnsPacket.DecodedPacket & { rcode: string; bytes: Buffer };

function answering(answers: dnsPacket.Answer[], more: Partial<dnsPacket.Packet> = {}): Exchange {
  const message = decodeMessage(dnsPacket.encode({ type: 'response', answers, ...more }));
  assert.ok(message);
  return async () => ({ kind: 'answer', message });
}

const unexpected: Exchange = () => assert.fail('an upstream was asked');

function query(name: string, type = 'A', more: Partial<dnsPacket.Packet> = {}): Buffer {
  return dnsPacket.encode({
    type: 'query',
    id: 0x4242,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ name, type: type as 'A' }],
    ...more,
  });
}

function edns(udpPayloadSize = 1232, more: object = {}): Partial<dnsPacket.Packet> {
  return {
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: false,
        options: [],
        ...more,
      },
    ],
  };
}

/** The extended error of an answer as "code text" (RFC 8914), if there is one. */
function extendedError(reply: Reply | null): string | undefined {
  const opt = reply?.additionals?.find((record) => record.type === 'OPT');
  const options = (opt?.options ?? []) as { code: number; data: Buffer }[];
  const option = options.find(({ code }) => code === 15);
  return option && `${option.data.readUInt16BE(0)} ${option.data.toString('utf8', 2)}`;
}

test("the answer has the guest's id and letters, and the shortest TTL of its records", async () => {
  const { ask } = setUp(
    answering([
      { type: 'CNAME', name: 'www.example.com', data: 'edge.example.net', ttl: 77 },
      a('edge.example.net', '192.0.2.7', 5),
    ]),
  );
  const reply = await ask(query('wWw.eXample.Com'));
  assert.equal(reply?.id, 0x4242);
  assert.equal(reply.rcode, 'NOERROR');
  assert.ok(reply.flag_qr && reply.flag_ra && reply.flag_rd && !reply.flag_aa && !reply.flag_ad);
  assert.deepEqual(
    reply.answers?.map((r) => [r.name, r.type, 'ttl' in r && r.ttl, 'data' in r && r.data]),
    [
      ['wWw.eXample.Com', 'CNAME', 5, 'edge.example.net'],
      ['edge.example.net', 'A', 5, '192.0.2.7'],
    ],
  );
  assert.deepEqual(reply.additionals, [], 'no OPT record for who sent none');
});

test('deny-all is refused with the reason, for every type, and nobody is asked', async () => {
  const { ask, guests } = setUp(unexpected);
  guests.set(GUEST.ip, { ...GUEST, policy: 'deny-all' });
  for (const type of ['A', 'AAAA', 'TXT', 'UNKNOWN_65']) {
    const reply = await ask(query('example.com', type, edns()));
    assert.equal(reply?.rcode, 'REFUSED', type);
    assert.equal(extendedError(reply), '18 it is deny-all');
  }
  const plain = await ask(query('example.com'));
  assert.equal(plain?.rcode, 'REFUSED');
  assert.deepEqual(plain.additionals, []);
});

test('AAAA has no data, at once; IPv6 addresses in other answers are left out', async () => {
  const none = await setUp(unexpected).ask(query('example.com', 'AAAA'));
  assert.equal(none?.rcode, 'NOERROR');
  assert.deepEqual(none.answers, []);
  const { ask } = setUp(
    answering([
      { type: 'AAAA', name: 'example.com', data: '2001:db8::1' },
      a('example.com', '192.0.2.1'),
    ]),
  );
  assert.deepEqual(
    (await ask(query('example.com')))?.answers?.map((r) => r.type),
    ['A'],
  );
});

test('"no such name" keeps the SOA that says for how long; other extras go', async () => {
  const soa: dnsPacket.Answer = {
    type: 'SOA',
    name: 'example.com',
    ttl: 60,
    data: {
      mname: 'ns.example.com',
      rname: 'root.example.com',
      serial: 1,
      refresh: 2,
      retry: 3,
      expire: 4,
      minimum: 5,
    },
  };
  const ns: dnsPacket.Answer = { type: 'NS', name: 'example.com', data: 'ns.example.com' };
  const rest = { authorities: [ns, soa], additionals: [a('ns.example.com', '192.0.2.53')] };
  const gone = await setUp(answering([], { flags: 3, ...rest })).ask(query('no.example.com'));
  assert.equal(gone?.rcode, 'NXDOMAIN');
  assert.deepEqual(
    gone.authorities?.map((r) => r.type),
    ['SOA'],
  );
  const found = await setUp(answering([a('example.com', '192.0.2.1')], rest)).ask(
    query('example.com'),
  );
  assert.deepEqual([found?.authorities, found?.additionals], [[], []]);
});

test('an answer is cut to what the guest can take, and whole over TCP', async () => {
  const many = Array.from({ length: 60 }, (_, i) => a('example.com', `192.0.2.${i}`));
  const { ask } = setUp(answering(many));
  for (const [bytes, limit, whole] of [
    [query('example.com'), 512, false],
    [query('example.com', 'A', edns(100)), 512, false],
    [query('example.com', 'A', edns(1232)), 1232, true],
  ] as const) {
    const reply = await ask(bytes);
    assert.ok(reply && reply.bytes.length <= limit);
    assert.equal(reply.flag_tc, !whole);
    assert.equal(reply.answers?.length, whole ? 60 : 0);
  }
  const few = Array.from({ length: 20 }, (_, i) => a('example.com', `192.0.2.${i}`));
  const small = await setUp(answering(few)).ask(query('example.com', 'A', edns(100)));
  assert.equal(small?.answers?.length, 20, 'never below 512 either');
  const bigger = Array.from({ length: 120 }, (_, i) => a('example.com', `192.0.2.${i}`));
  const capped = await setUp(answering(bigger)).ask(query('example.com', 'A', edns(65000)));
  assert.ok(capped?.flag_tc, 'never above 1232, whatever the guest says');
  const overTcp = await ask(query('example.com'), 'tcp');
  assert.equal(overTcp?.answers?.length, 60);
});

test('what is no plain question gets its error, and nobody is asked', async () => {
  const { ask } = setUp(unexpected);
  const question = { type: 'A' as const, name: 'a.example' };
  const chaos = query('version.bind', 'TXT');
  chaos.writeUInt16BE(3, chaos.length - 2);
  const notify = query('a.example');
  notify.writeUInt16BE(4 << 11, 2);
  const half = query('a.example').subarray(0, 20);
  for (const [what, bytes, rcode] of [
    ['two questions', query('', 'A', { questions: [question, question] }), 'FORMERR'],
    ['no question', query('', 'A', { questions: [] }), 'FORMERR'],
    [
      'an answer inside',
      query('a.example', 'A', { answers: [a('a.example', '192.0.2.1')] }),
      'FORMERR',
    ],
    ['half a message', half, 'FORMERR'],
    ['NOTIFY', notify, 'NOTIMP'],
    ['ANY', query('a.example', 'ANY'), 'NOTIMP'],
    ['AXFR', query('a.example', 'AXFR'), 'NOTIMP'],
    ['class CH', chaos, 'REFUSED'],
  ] as const) {
    assert.equal((await ask(bytes))?.rcode, rcode, what);
  }
  const any = await ask(query('a.example', 'ANY', edns()));
  assert.match(extendedError(any) ?? '', /^21 vmsan: /);
  const later = await ask(query('a.example', 'A', edns(1232, { ednsVersion: 1 })));
  const opt = later?.additionals?.[0];
  assert.equal(
    opt?.type === 'OPT' && opt.extendedRcode,
    1,
    'BADVERS is 16: its upper bits are in OPT',
  );
});

test('answers, scraps, and whatever comes from no guest are met with silence', async () => {
  const { ask } = setUp(unexpected);
  assert.equal(await ask(dnsPacket.encode({ type: 'response', questions: [] })), null);
  assert.equal(await ask(Buffer.alloc(11)), null);
  assert.equal(await ask(Buffer.alloc(0)), null);
  assert.equal(await ask(Buffer.alloc(5000)), null);
  assert.equal(await ask(query('a.example'), 'udp', '172.16.2.2'), null);
});

/** An upstream whose answers come when the test says so. */
function held() {
  const waiting: ((result: ExchangeResult) => void)[] = [];
  const exchange: Exchange = () => new Promise((resolve) => waiting.push(resolve));
  return {
    exchange,
    count: () => waiting.length,
    release: async () => {
      // For this one time: the next question waits too.
      const result = await answering([a('a.example', '192.0.2.1', 0)])({} as never);
      for (const resolve of waiting.splice(0)) resolve(result);
    },
  };
}

test('an answer that comes after the policy was tightened is refused', async () => {
  const upstream = held();
  const { ask, guests } = setUp(upstream.exchange);
  const pending = ask(query('a.example'));
  guests.set(GUEST.ip, { ...GUEST, policy: 'deny-all' });
  await upstream.release();
  const reply = await pending;
  assert.equal(reply?.rcode, 'REFUSED');
  assert.deepEqual(reply.answers, []);
});

test('an answer for a VM that is gone, or whose address is another now, is not sent', async () => {
  const upstream = held();
  const { ask, guests } = setUp(upstream.exchange);
  const gone = ask(query('a.example'));
  guests.delete(GUEST.ip);
  await upstream.release();
  assert.equal(await gone, null);
  guests.set(GUEST.ip, GUEST);
  const replaced = ask(query('a.example'));
  guests.set(GUEST.ip, { ...GUEST, vmId: 'vm-00000002' });
  await upstream.release();
  assert.equal(await replaced, null);
});

test('one guest, and all together, can have only so many questions waiting', async () => {
  const upstream = held();
  const { ask, guests, events } = setUp(upstream.exchange);
  const other = { ...GUEST, ip: '172.16.2.2', vmId: 'vm-00000002' };
  guests.set(other.ip, other);
  const first = [1, 2, 3, 4].map(() => ask(query('a.example')));
  const fifth = await ask(query('a.example', 'A', edns()));
  assert.equal(fifth?.rcode, 'SERVFAIL');
  assert.match(extendedError(fifth) ?? '', /too many/);
  const others = [1, 2, 3, 4].map(() => ask(query('a.example'), 'udp', other.ip));
  assert.equal((await ask(query('a.example'), 'udp', other.ip))?.rcode, 'SERVFAIL');
  assert.equal(upstream.count(), 8, 'four of each guest, though six of all were reached before');
  assert.equal(events.length, 2);
  await upstream.release();
  for (const reply of await Promise.all([...first, ...others])) {
    assert.equal(reply?.rcode, 'NOERROR');
  }
  const again = ask(query('a.example'));
  await upstream.release();
  assert.equal((await again)?.rcode, 'NOERROR', 'answered questions make room');
});

test('no upstream: SERVFAIL that says so, and a word to the operator', async () => {
  const { ask, events } = setUp(async () => ({ kind: 'none', tries: ['192.0.2.53:53: silent'] }));
  const reply = await ask(query('a.example', 'A', edns()));
  assert.equal(reply?.rcode, 'SERVFAIL');
  assert.match(extendedError(reply) ?? '', /^22 vmsan: no resolver/);
  assert.equal(events.length, 1);
});

test('other upstreams: the last answer is not given again', async () => {
  const { ask, upstreams } = setUp(answering([a('a.example', '192.0.2.1')]));
  assert.equal((await ask(query('a.example')))?.answers?.length, 1);
  upstreams.exchange = answering([]);
  upstreams.list = [{ address: '192.0.2.53', port: 53 }];
  assert.equal((await ask(query('a.example')))?.answers?.length, 0);
});

test('a fault while answering is reported, and costs that answer only', async () => {
  const { ask, events } = setUp(() => Promise.reject(new Error('a bug')));
  assert.equal(await ask(query('a.example')), null);
  assert.deepEqual(events, ['a DNS query could not be handled']);
});
