import { test } from 'node:test';
import assert from 'node:assert/strict';
import dnsPacket from 'dns-packet';
import { encodeMessage } from './encode.ts';
import { FLAG, TYPE, decodeMessage } from './message.ts';
import { lowerName, nameText, readName, sameName } from './name.ts';
import { readQuery } from './query.ts';

const HEADER = Buffer.from('123481800001000100000000', 'hex');

test('a dot inside a label is not a dot between labels', () => {
  const one = readName(Buffer.from('\x08evil.com\x03net\0', 'latin1'), 0);
  const two = readName(Buffer.from('\x04evil\x03com\x03net\0', 'latin1'), 0);
  assert.ok(one && two);
  assert.equal(nameText(one.name), 'evil\\.com.net');
  assert.equal(nameText(two.name), 'evil.com.net');
  assert.equal(sameName(one.name, two.name), false);
});

test('the text of a name is printable whatever is in it', () => {
  const read = readName(Buffer.from('\x05\x1b[2J\xff\x01\\\0', 'latin1'), 0);
  assert.ok(read);
  assert.equal(nameText(read.name), '\\027[2J\\255.\\\\');
});

test('lower case touches ASCII letters only', () => {
  const read = readName(Buffer.from('\x05A[Z\xc0\x60\0', 'latin1'), 0);
  assert.ok(read);
  assert.equal(lowerName(read.name).toString('latin1'), '\x05a[z\xc0\x60\0');
});

test('names that loop, point ahead, run over the end or are too long are refused', () => {
  const long = Buffer.concat([
    ...Array(4).fill(Buffer.from(`\x3f${'a'.repeat(63)}`)),
    Buffer.from([0]),
  ]);
  for (const [bytes, offset] of [
    [Buffer.from([0xc0, 0x00]), 0],
    [Buffer.from([1, 0x61, 0xc0, 0x00]), 0],
    [Buffer.from([0xc0, 0x02, 0x00]), 0],
    [Buffer.from([3, 0x61]), 0],
    [Buffer.from([0x40, 0x61, 0]), 0],
    [Buffer.from([0xc0]), 0],
    [long, 0],
    [Buffer.alloc(0), 0],
  ] as const) {
    assert.equal(readName(bytes, offset), null, bytes.toString('hex'));
  }
});

test('names in the data of records are expanded', () => {
  // MX 10 mail.example. with "example." as a pointer to the question.
  const message = Buffer.concat([
    HEADER,
    Buffer.from('\x07example\0', 'latin1'),
    Buffer.from('000f0001', 'hex'),
    Buffer.from('c00c000f00010000003c0009000a046d61696cc00c', 'hex'),
  ]);
  const decoded = decodeMessage(message);
  assert.equal(decoded?.answers[0]?.data.toString('latin1'), '\0\x0a\x04mail\x07example\0');
  assert.deepEqual(encodeMessage(decoded, 512), message, 'and compressed again');
});

test('what another codec wrote comes back as it was', () => {
  const packet: dnsPacket.Packet = {
    type: 'response',
    id: 4711,
    flags: dnsPacket.RECURSION_DESIRED,
    questions: [{ type: 'A', name: 'www.Example.com', class: 'IN' }],
    answers: [
      { type: 'CNAME', name: 'www.Example.com', data: 'edge.example.net', ttl: 60 },
      { type: 'A', name: 'edge.example.net', data: '192.0.2.1', ttl: 61 },
      { type: 'TXT', name: 'example.com', data: [Buffer.from([0, 255, 46])], ttl: 1 },
      {
        type: 'MX',
        name: 'example.com',
        data: { preference: 5, exchange: 'mx.example.com' },
        ttl: 2,
      },
      {
        type: 'SRV',
        name: '_x._tcp.example.com',
        data: { priority: 1, weight: 2, port: 3, target: 'srv.example.com' },
        ttl: 3,
      },
    ],
    authorities: [
      {
        type: 'SOA',
        name: 'example.com',
        ttl: 900,
        data: {
          mname: 'ns.example.com',
          rname: 'root.example.com',
          serial: 7,
          refresh: 1,
          retry: 2,
          expire: 3,
          minimum: 4,
        },
      },
    ],
    additionals: [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: 1400,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: false,
        options: [],
      },
    ],
  };
  const theirs = dnsPacket.encode(packet);
  const ours = decodeMessage(theirs);
  assert.ok(ours);
  assert.equal(ours.edns?.udpSize, 1400);
  const encoded = encodeMessage(ours, 0xffff);
  assert.ok(encoded.length < theirs.length, 'ours compresses');
  assert.deepEqual(dnsPacket.decode(encoded), dnsPacket.decode(theirs));
});

test('a message that does not fit is cut to its question, with TC', () => {
  const name = Buffer.from('\x01a\0', 'latin1');
  const record = { name, type: TYPE.A, class: 1, ttl: 1, data: Buffer.from([192, 0, 2, 1]) };
  const message = {
    id: 1,
    flags: FLAG.QR,
    opcode: 0,
    rcode: 0,
    questions: [{ name, type: TYPE.A, class: 1 }],
    answers: Array.from({ length: 40 }, () => record),
    authorities: [],
    additionals: [],
    edns: { udpSize: 1232, version: 0, dnssecOk: false },
  };
  const cut = decodeMessage(encodeMessage(message, 512));
  assert.ok(cut);
  assert.equal(cut.flags & FLAG.TC, FLAG.TC);
  assert.equal(cut.answers.length, 0);
  assert.equal(cut.questions.length, 1);
  assert.equal(cut.edns?.udpSize, 1232);
  const whole = decodeMessage(encodeMessage(message, 1232));
  assert.equal(whole?.answers.length, 40);
  assert.equal((whole?.flags ?? 0) & FLAG.TC, 0);
});

test('bytes left over, two OPT records and OPT elsewhere are malformed', () => {
  const query = dnsPacket.encode({ type: 'query', id: 1, questions: [{ type: 'A', name: 'a' }] });
  assert.ok(decodeMessage(query));
  assert.equal(decodeMessage(Buffer.concat([query, Buffer.from([0])])), null);
  const opt = Buffer.from('00002904d0000000000000', 'hex');
  const withOpts = (count: number, at: number) => {
    const bytes = Buffer.concat([query, ...Array<Buffer>(count).fill(opt)]);
    bytes.writeUInt16BE(count, at);
    return decodeMessage(bytes);
  };
  assert.ok(withOpts(1, 10)?.edns);
  assert.equal(withOpts(2, 10), null);
  assert.equal(withOpts(1, 6), null);
});

test('no bytes make the codec throw, and what it accepts it can write and read again', () => {
  const seeds = [
    dnsPacket.encode({
      type: 'query',
      id: 7,
      questions: [{ type: 'A', name: 'www.example.com' }],
      additionals: [
        {
          type: 'OPT',
          name: '.',
          udpPayloadSize: 1232,
          extendedRcode: 0,
          ednsVersion: 0,
          flags: 0,
          flag_do: false,
          options: [],
        },
      ],
    }),
    Buffer.concat([
      HEADER,
      Buffer.from('\x07example\0', 'latin1'),
      Buffer.from('000f0001', 'hex'),
      Buffer.from('c00c000f00010000003c0009000a046d61696cc00c', 'hex'),
    ]),
    dnsPacket.encode({
      type: 'response',
      id: 7,
      questions: [{ type: 'SRV', name: 'a.b' }],
      answers: [
        { type: 'SRV', name: 'a.b', data: { port: 1, target: 'c.a.b' } },
        { type: 'NS', name: 'b', data: 'ns.a.b' },
      ],
    }),
  ];
  const random = mulberry32(0x5eed);
  const below = (n: number) => Math.floor(random() * n);
  let accepted = 0;
  for (let i = 0; i < 20_000; i++) {
    let bytes: Buffer;
    if (i % 4 === 0) {
      bytes = Buffer.from(Array.from({ length: below(80) }, () => below(256)));
    } else {
      bytes = Buffer.from(seeds[i % seeds.length] ?? HEADER);
      for (let edits = 1 + below(4); edits > 0; edits--) bytes[below(bytes.length)] = below(256);
      if (i % 5 === 0) bytes = bytes.subarray(0, below(bytes.length));
    }
    readQuery(bytes);
    const message = decodeMessage(bytes);
    if (message === null) continue;
    accepted++;
    assert.deepEqual(decodeMessage(encodeMessage(message, 0xffff)), message, bytes.toString('hex'));
  }
  assert.ok(accepted > 1000, `${accepted} of the inputs got past the decoder`);
});

/** A small seeded generator: the same inputs in every run. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
