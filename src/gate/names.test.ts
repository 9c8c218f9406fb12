import { test } from 'node:test';
import assert from 'node:assert/strict';
import dnsPacket, { type Answer } from 'dns-packet';
import { guestWith } from '../../test/fakes/guest.ts';
import { messageOf } from '../../test/fakes/question.ts';
import { a } from '../../test/fakes/upstream.ts';
import type { LeaseOutcome, Outcome } from '../dns/resolver.ts';
import { createLookup } from '../dns/lookup.ts';
import { nameText } from '../dns/name.ts';
import { createResolver } from '../dns/resolver.ts';
import { decideNames } from './decide.ts';
import type { Guest } from './guest.ts';
import type { Wanted } from './leases.ts';
import { lookUpAddresses, renew } from './names.ts';

type Reply = dnsPacket.DecodedPacket & { rcode: string };

const IP = '172.16.1.2';
const zone: Answer[] = [
  a('allowed.example', '198.51.100.10', 30),
  { type: 'CNAME', name: 'alias.allowed.example', data: 'edge.cdn.example', ttl: 30 },
  a('edge.cdn.example', '198.51.100.11', 30),
  a('rebind.allowed.example', '10.20.0.10', 30),
  a('loop.allowed.example', '127.0.0.1', 30),
  a('zero.allowed.example', '0.0.0.0', 30),
  a('carrier.allowed.example', '100.64.0.1', 30),
  a('group.allowed.example', '224.0.0.251', 30),
  a('all.allowed.example', '255.255.255.255', 30),
  a('meta.allowed.example', '169.254.169.254', 30),
  a('host.allowed.example', '192.0.2.10', 30),
  a('vm.allowed.example', '172.16.9.2', 30),
  a('mixed.allowed.example', '10.20.0.10', 30),
  a('mixed.allowed.example', '198.51.100.12', 30),
  a('db.example', '198.51.100.20', 30),
  { type: 'TXT', name: 'allowed.example', data: 'hello', ttl: 30 },
];

/** The gate's resolver with one guest, an upstream with a zone, and a daemon that says what `lease` says. */
function setUp(guest: Guest, lease: () => LeaseOutcome | Promise<LeaseOutcome> = () => 'held') {
  const guests = new Map([[guest.ip, guest]]);
  const asked: string[] = [];
  const leased: [number, Wanted][] = [];
  const outcomes: Outcome[] = [];
  const lookup = createLookup({
    upstreams: () => [],
    exchange: async ({ name, type }) => {
      asked.push(`${nameText(name)} ${type}`);
      const owner = nameText(name).toLowerCase();
      const found = zone.filter((record) => record.name === owner);
      const target = found.find((record) => record.type === 'CNAME');
      const more = zone.filter(
        (record) => target !== undefined && record.name === 'edge.cdn.example',
      );
      return { kind: 'answer', message: messageOf([...found, ...more]) };
    },
  });
  const leases = {
    ask: async ({ generation }: Guest, wanted: Wanted) => {
      leased.push([generation, wanted]);
      return lease();
    },
  };
  const resolve = createResolver<Guest>({
    guestOf: (source) => guests.get(source),
    decide: decideNames(leases),
    lookup,
    report: (event, details) => assert.fail(`${event} ${JSON.stringify(details)}`),
    record: (_guest, outcome) => outcomes.push(outcome),
  });
  const ask = async (name: string, type = 'A') => {
    const bytes = dnsPacket.encode({
      type: 'query',
      id: 7,
      flags: dnsPacket.RECURSION_DESIRED,
      questions: [{ name, type: type as 'A' }],
      additionals: [
        { type: 'OPT', name: '.', udpPayloadSize: 1232, flags: 0, options: [] } as never,
      ],
    });
    const reply = await resolve(bytes, IP, 'udp');
    assert.ok(reply);
    return dnsPacket.decode(reply) as Reply;
  };
  return { guests, asked, leased, outcomes, ask, lookup, resolve };
}

function saidBy(reply: Reply): string {
  const opt = reply.additionals?.find((record) => record.type === 'OPT');
  const option = (opt?.options as { code: number; data: Buffer }[] | undefined)?.[0];
  const why = option && ` ${option.data.readUInt16BE(0)} ${option.data.toString('utf8', 2)}`;
  const answers = reply.answers?.map((record) => ('data' in record ? String(record.data) : ''));
  return `${reply.rcode} ${answers?.join(' ')}${why ?? ''}`;
}

const RULES = ['*.allowed.example', 'allowed.example'];

test('allowed names are answered, others refused with the reason, and nobody is asked', async () => {
  const { ask, asked } = setUp(guestWith(RULES));
  assert.equal(saidBy(await ask('allowed.example')), 'NOERROR 198.51.100.10');
  const seen = asked.length;
  for (const [name, type = 'A'] of [
    ['denied.example'],
    ['DENIED.Example'],
    ['allowed.example.evil.test'],
    ['evilallowed.example'],
    ['example'],
    ['secret.tunnel.test', 'TXT'],
    ['secret.tunnel.test', 'NULL'],
    ['denied.example', 'AAAA'],
    ['10.100.51.198.in-addr.arpa', 'PTR'],
    ['x'.repeat(63) + '.tunnel.test'],
    ['allowed.example\u0000.tunnel.test'],
  ] as const) {
    const reply = await ask(name, type);
    assert.match(saidBy(reply), /^REFUSED {2}18 vmsan: no rule allows /, name);
  }
  assert.equal(asked.length, seen);
});

test('odd letters in a name that a wildcard would hold match nothing', async () => {
  const { ask, asked } = setUp(guestWith(RULES));
  for (const name of ['a\u0000b.allowed.example', 'a b.allowed.example', 'é.allowed.example']) {
    assert.match(saidBy(await ask(name)), /^REFUSED {2}18 /);
  }
  assert.deepEqual(asked, []);
});

test('types that carry anything are refused, AAAA has no data', async () => {
  const { ask, asked } = setUp(guestWith(RULES));
  assert.match(saidBy(await ask('a.allowed.example', 'NULL')), /^REFUSED {2}21 .*type 10 /);
  assert.equal(saidBy(await ask('a.allowed.example', 'AAAA')), 'NOERROR ');
  assert.deepEqual(asked, []);
  assert.equal(saidBy(await ask('allowed.example', 'TXT')), 'NOERROR hello');
});

test('an alias to a name that no rule has is followed in the answer', async () => {
  const { ask } = setUp(guestWith(RULES));
  const answer = 'NOERROR edge.cdn.example 198.51.100.11';
  assert.equal(saidBy(await ask('alias.allowed.example')), answer);
});

test('addresses that no name may have are dropped, with the reason when none is left', async () => {
  const { ask, outcomes } = setUp(guestWith(RULES));
  for (const name of [
    ...['rebind', 'loop', 'zero', 'meta', 'host', 'vm'],
    ...['carrier', 'group', 'all'],
  ]) {
    const reply = await ask(`${name}.allowed.example`);
    assert.match(saidBy(reply), /^NOERROR {2}17 vmsan: .* may not reach by name: \d/, name);
  }
  assert.equal(saidBy(await ask('mixed.allowed.example')), 'NOERROR 198.51.100.12');
  const last = outcomes.at(-1);
  assert.deepEqual([last?.verdict, last?.rule], ['deny', 'address']);
  assert.match(last?.reason ?? '', /10\.20\.0\.10/);
});

test('allowed networks stay in answers, denied ones go', async () => {
  const allowing = setUp(guestWith(RULES, { allowedCidrs: ['10.0.0.0/8'] }));
  assert.equal(saidBy(await allowing.ask('rebind.allowed.example')), 'NOERROR 10.20.0.10');
  const denying = setUp(guestWith(RULES, { deniedCidrs: ['198.51.100.0/24'] }));
  assert.match(saidBy(await denying.ask('allowed.example')), /^NOERROR {2}17 /);
});

test('addresses alone open no names', async () => {
  const { ask, asked } = setUp(guestWith([], { allowedCidrs: ['198.51.100.0/24'] }));
  assert.match(saidBy(await ask('allowed.example')), /^REFUSED {2}18 vmsan: .*addresses only/);
  assert.deepEqual(asked, []);
});

test('a name with a port of its own is answered once the kernel lets the guest through', async () => {
  const { promise, resolve } = Promise.withResolvers<LeaseOutcome>();
  const { ask, leased } = setUp(guestWith(['db.example:5432']), () => promise);
  let answered = false;
  const reply = ask('db.example').finally(() => (answered = true));
  while (leased.length === 0) await new Promise(setImmediate);
  await new Promise(setImmediate);
  assert.equal(answered, false);
  resolve('held');
  assert.equal(saidBy(await reply), 'NOERROR 198.51.100.20');
  const wanted = { name: 'db.example', addresses: ['198.51.100.20'], ttl: 30 };
  assert.deepEqual(leased, [[1, wanted]]);
});

test('what cannot be let through is not answered', async () => {
  const { ask } = setUp(guestWith(['db.example:5432']), () => ({ why: 'vmsan: no' }));
  assert.equal(saidBy(await ask('db.example')), 'SERVFAIL  0 vmsan: no');
});

test('for 80 and 443 the lease is told, not waited for', async () => {
  const never = new Promise<LeaseOutcome>(() => {});
  const { ask, leased } = setUp(guestWith(RULES), () => never);
  assert.equal(saidBy(await ask('allowed.example')), 'NOERROR 198.51.100.10');
  assert.equal(leased.length, 1);
});

test('a policy that changes while a lease is on its way is asked again, under its generation', async () => {
  let count = 0;
  const change = () => {
    if (++count === 1) setup.guests.set(IP, guestWith(['db.example:1-99'], { generation: 2 }));
    return count === 1 ? { why: 'vmsan: another generation' } : 'held';
  };
  const setup = setUp(guestWith(['db.example:5432']), change);
  assert.equal(saidBy(await setup.ask('db.example')), 'NOERROR 198.51.100.20');
  assert.deepEqual(
    setup.leased.map(([generation]) => generation),
    [1, 2],
  );
  const tighten = () => {
    tightened.guests.set(IP, guestWith(['other.example'], { generation: 2 }));
    return 'held' as const;
  };
  const tightened = setUp(guestWith(['db.example:5432']), tighten);
  assert.match(saidBy(await tightened.ask('db.example')), /^REFUSED {2}18 /);
});

test('the proxy gets the addresses at the end of the aliases', async () => {
  const { lookup } = setUp(guestWith(RULES));
  const found = await lookUpAddresses(lookup, 'alias.allowed.example');
  assert.deepEqual(found, { addresses: ['198.51.100.11'], ttl: 30 });
  assert.ok('error' in (await lookUpAddresses(lookup, 'no.allowed.example')));
});

test('renewal asks anew, and leases what is there and still allowed', async () => {
  const guest = guestWith(['db.example:5432', '*.allowed.example:22']);
  const { lookup, asked, leased, guests } = setUp(guest);
  const leases = {
    ask: async ({ generation }: Guest, wanted: Wanted) => {
      leased.push([generation, wanted]);
      return 'held' as const;
    },
  };
  const options = { lookup, leases, guestOf: () => guests.get(IP) };
  const names = ['db.example', 'db.example', 'other.example', 'rebind.allowed.example', 'no such'];
  await renew(options, guest.vmId, names);
  assert.deepEqual(asked.toSorted(), ['db.example 1', 'db.example 1', 'rebind.allowed.example 1']);
  assert.deepEqual(
    leased.map(([, { addresses }]) => addresses),
    [['198.51.100.20'], ['198.51.100.20']],
  );
  await renew(options, guest.vmId, ['db.example']);
  assert.equal(asked.filter((one) => one === 'db.example 1').length, 3, 'past the cache');

  const before = leased.length;
  const tightens = () => {
    const now = guests.get(IP);
    guests.set(IP, guestWith(['other.example'], { generation: 2 }));
    return now;
  };
  await renew({ ...options, guestOf: tightens }, guest.vmId, ['db.example']);
  assert.equal(leased.length, before, 'decided again after the answer');
});

test('a repeated question is answered at once, until the policy or the time is another', async () => {
  const setup = setUp(guestWith(RULES));
  const bytes = dnsPacket.encode({
    type: 'query',
    id: 9,
    questions: [{ type: 'A', name: 'allowed.example' }],
  });
  assert.ok((await setup.resolve(bytes, IP, 'udp')) instanceof Buffer);
  const again = setup.resolve(bytes, IP, 'udp');
  assert.ok(again instanceof Buffer, 'nothing is waited for');
  assert.deepEqual(
    setup.outcomes.map(({ reason }) => reason),
    ['198.51.100.10', '198.51.100.10'],
  );
  setup.guests.set(IP, guestWith(['other.example'], { generation: 2 }));
  const refused = await setup.resolve(bytes, IP, 'udp');
  assert.equal(saidBy(dnsPacket.decode(refused!) as Reply), 'REFUSED ');
  setup.guests.delete(IP);
  assert.equal(await setup.resolve(bytes, IP, 'udp'), null);
});
