import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { Answer } from 'dns-packet';
import { messageOf, questionOf, soa } from '../../test/fakes/question.ts';
import { a } from '../../test/fakes/upstream.ts';
import { readAnswer, type Found } from './found.ts';
import { nameText } from './name.ts';

const alias = (name: string, data: string, ttl = 300): Answer => ({
  type: 'CNAME',
  name,
  data,
  ttl,
});
const NXDOMAIN = 3;

function read(name: string, answers: Answer[], more = {}): Found | null {
  return readAnswer(questionOf(name), messageOf(answers, more));
}

function owners(found: Found | null): string[] | undefined {
  return found?.answers.map((record) => `${nameText(record.name)} ${record.type}`);
}

test('a chain of aliases is kept from the name that was asked on, in its order', () => {
  const found = read('www.example', [
    a('edge.example.net', '192.0.2.7', 50),
    alias('hop.example', 'edge.example.net', 90),
    alias('www.example', 'hop.example', 70),
    a('edge.example.net', '192.0.2.8', 60),
  ]);
  const edge = 'edge.example.net 1';
  assert.deepEqual(owners(found), ['www.example 5', 'hop.example 5', edge, edge]);
  assert.equal(found?.ttl, 50);
});

test('letter case does not break a chain', () => {
  const found = read('www.example', [
    alias('WWW.example', 'Edge.EXAMPLE'),
    a('eDGE.example', '192.0.2.7'),
  ]);
  assert.equal(found?.answers.length, 2);
});

test('what does not answer the question is dropped', () => {
  const found = read('www.example', [
    a('bank.example', '203.0.113.66'),
    a('www.example', '192.0.2.1'),
    alias('mail.example', 'www.example'),
    { type: 'TXT', name: 'www.example', data: 'hello' },
    { type: 'AAAA', name: 'www.example', data: '2001:db8::1' },
  ]);
  assert.deepEqual(owners(found), ['www.example 1']);
});

test('an address that is none is dropped', () => {
  const message = messageOf([a('www.example', '192.0.2.1')]);
  for (const record of message.answers) record.data = Buffer.from([192, 0, 2]);
  assert.deepEqual(readAnswer(questionOf('www.example'), message)?.answers, []);
});

test('a circle of aliases, and one that is too long, are no answer', () => {
  assert.equal(read('a.example', [alias('a.example', 'a.example')]), null);
  assert.equal(
    read('a.example', [alias('a.example', 'b.example'), alias('b.example', 'a.example')]),
    null,
  );
  const chain = (length: number) => [
    ...Array.from({ length }, (_, i) => alias(`n${i}.example`, `n${i + 1}.example`)),
    a(`n${length}.example`, '192.0.2.1'),
  ];
  assert.equal(read('n0.example', chain(16))?.answers.length, 17);
  assert.equal(read('n0.example', chain(17)), null);
});

test('a question for the alias itself is not followed', () => {
  const message = messageOf([alias('www.example', 'x.example'), alias('x.example', 'y.example')]);
  assert.equal(readAnswer(questionOf('www.example', 'CNAME'), message)?.answers.length, 1);
});

test('"no such name" and "no such records" hold as long as the SOA says (RFC 2308)', () => {
  const gone = read('no.example', [], { flags: NXDOMAIN, authorities: [soa('example', 60, 40)] });
  assert.deepEqual([gone?.rcode, gone?.ttl, gone?.answers], [NXDOMAIN, 40, []]);
  const none = read('www.example', [], { authorities: [soa('example', 30, 40)] });
  assert.deepEqual([none?.rcode, none?.ttl], [0, 30]);
  const long = read('www.example', [], { authorities: [soa('example', 90_000, 90_000)] });
  assert.equal(long?.ttl, 300);
  const ofTarget = read('www.example', [alias('www.example', 'no.example.net', 20)], {
    flags: NXDOMAIN,
    authorities: [soa('example.net', 60, 60)],
  });
  assert.deepEqual([ofTarget?.ttl, owners(ofTarget)], [20, ['www.example 5']]);
});

test("without a SOA, or with another zone's, a negative answer is for this time only", () => {
  for (const authorities of [[], [soa('other.example', 60, 60)], [soa('ample', 60, 60)]]) {
    const found = read('www.example', [], { flags: NXDOMAIN, authorities });
    assert.deepEqual([found?.ttl, found?.authority], [0, undefined]);
  }
  assert.equal(read('www.example', [], { authorities: [soa('.', 60, 60)] })?.ttl, 60);
});

test('nothing holds for more than an hour, and a time out of range not at all', () => {
  assert.equal(read('www.example', [a('www.example', '192.0.2.1', 90_000)])?.ttl, 3600);
  assert.equal(read('www.example', [a('www.example', '192.0.2.1', 0x80000000)])?.ttl, 0);
});
