import { test } from 'node:test';
import assert from 'node:assert/strict';
import {
  RETRY_RANDOM,
  clientHello,
  handshake,
  records,
  serverHello,
  serverNames,
} from '../../test/fakes/client-hello.ts';
import { MAX_HELLO, readClientHello, readSecondHello } from './client-hello.ts';
import { readServerHello } from './server-hello.ts';

const problemOf = (bytes: Buffer) => {
  const reading = readClientHello(bytes);
  return reading.kind === 'bad' ? reading.problem : reading.kind;
};
const nameOf = (bytes: Buffer) => {
  const reading = readClientHello(bytes);
  return reading.kind === 'hello' ? reading.hello.serverName : reading;
};

test('it tells name, protocols, versions and its end', () => {
  const bytes = records(clientHello({ names: ['Allowed.Example.COM'] }));
  const ahead = Buffer.concat([bytes, Buffer.from('what follows')]);
  assert.deepEqual(readClientHello(ahead), {
    kind: 'hello',
    hello: {
      serverName: 'allowed.example.com',
      protocols: ['h2', 'http/1.1'],
      versions: [0x0304, 0x0303],
      length: bytes.length,
    },
  });
});

test('however it is cut into records and segments, it is the same hello', () => {
  const message = clientHello({ keyShare: 1216 });
  for (const size of [message.length, 700, 100, 50]) {
    const bytes = records(message, size);
    for (let length = 0; length < bytes.length; length++) {
      assert.deepEqual(readClientHello(bytes.subarray(0, length)), { kind: 'more' });
    }
    assert.equal(nameOf(bytes), 'allowed.example.com');
  }
});

test('long hellos pass up to the bound, more and longer ones do not', () => {
  assert.equal(nameOf(records(clientHello({ keyShare: 12_000 }))), 'allowed.example.com');
  assert.equal(problemOf(records(clientHello({ keyShare: MAX_HELLO }))), 'too-long');
  assert.equal(problemOf(records(clientHello(), 1)), 'too-long', 'too many records');
});

test('what is no ClientHello is refused at its first bytes', () => {
  for (const [bytes, problem] of [
    [Buffer.from('GET / HTTP/1.1\r\n'), 'not-tls'],
    [Buffer.from('SSH-2.0-x'), 'not-tls'],
    // SSL 2.0: length 0x2e, CLIENT-HELLO, version 3.1.
    [Buffer.from('802e0103010015000000', 'hex'), 'not-tls'],
    [Buffer.from('1602', 'hex'), 'not-tls'],
    [Buffer.from('17', 'hex'), 'not-tls'],
    [Buffer.from('1603010000', 'hex'), 'malformed'],
    [Buffer.from('1603014001', 'hex'), 'malformed'],
    [Buffer.from('160301000402', 'hex'), 'malformed'],
    [records(Buffer.concat([clientHello(), Buffer.from([0])])), 'malformed'],
    [records(handshake(1, Buffer.alloc(10))), 'malformed'],
  ] as const) {
    assert.equal(problemOf(bytes), problem, bytes.toString('hex').slice(0, 80));
  }
  const cut = Buffer.concat([
    records(clientHello(), 100).subarray(0, 105),
    Buffer.from('15', 'hex'),
  ]);
  assert.equal(problemOf(cut), 'malformed', 'an alert between two parts of it');
});

test('Encrypted Client Hello is refused in all its versions, GREASE too', () => {
  for (const type of [0xfe0d, 0xfe0a, 0xffce]) {
    const extensions = [[type, Buffer.alloc(200, 3)]] as const;
    assert.equal(problemOf(records(clientHello({ extensions }))), 'ech');
  }
});

test('one name, said once', () => {
  assert.equal(problemOf(records(clientHello({ names: [] }))), 'no-name');
  const bodiless = clientHello().subarray(4, 4 + 2 + 32 + 1 + 32 + 2 + 8 + 2);
  assert.equal(problemOf(records(handshake(1, bodiless))), 'no-name', 'no extensions at all');
  const twice = [[0, serverNames(['other.example.com'])]] as const;
  assert.equal(problemOf(records(clientHello({ extensions: twice }))), 'malformed');
  for (const names of [['a.example', 'b.example'], [''], ['a\0.example.com'], ['a.example.com.']]) {
    assert.equal(problemOf(records(clientHello({ names }))), 'name', names.join());
  }
  for (const name of ['192.0.2.1', '[2001:db8::1]', '::1', '0x7f.1', '1', 'a b', 'a..b', '-a.b']) {
    assert.equal(problemOf(records(clientHello({ names: [name] }))), 'name', name);
  }
  const list = (data: Buffer) => records(clientHello({ names: [], extensions: [[0, data]] }));
  assert.equal(problemOf(list(serverNames(['allowed.example.com'], 1))), 'name');
  assert.equal(problemOf(list(Buffer.alloc(0))), 'name');
  assert.equal(problemOf(list(Buffer.concat([serverNames(['a.b']), Buffer.from([0])]))), 'name');
});

test('a server that asks for another hello is heard, however it is cut', () => {
  const warning = Buffer.from('15030300020170', 'hex');
  for (const [random, expected] of [
    [undefined, 'hello'],
    [RETRY_RANDOM, 'retry'],
  ] as const) {
    for (const size of [1, 7, 100]) {
      const bytes = Buffer.concat([warning, records(serverHello(random), size)]);
      const first = bytes.findIndex((_, n) => readServerHello(bytes.subarray(0, n)) !== 'more');
      assert.notEqual(first, -1);
      assert.equal(readServerHello(bytes.subarray(0, first)), expected);
      assert.equal(readServerHello(bytes), expected);
    }
  }
  for (const other of ['15030300020228', '485454502f312e31', '16030100010b', '14030300']) {
    assert.equal(readServerHello(Buffer.from(other, 'hex')), 'other', other);
  }
});

test('the second hello is found behind what may come before it, and nothing else is', () => {
  const changeCipherSpec = Buffer.from('140303000101', 'hex');
  const early = records(Buffer.alloc(16_000, 1), undefined, 23);
  const hello = records(clientHello({ names: ['second.example.com'] }), 50);
  const bytes = Buffer.concat([changeCipherSpec, early, hello]);
  for (let length = 0; length < bytes.length; length += 11) {
    assert.deepEqual(readSecondHello(bytes.subarray(0, length)), { kind: 'more' });
  }
  const reading = readSecondHello(bytes);
  assert.equal(reading.kind === 'hello' && reading.hello.serverName, 'second.example.com');
  assert.equal(reading.kind === 'hello' && reading.hello.length, bytes.length);
  const alert = Buffer.from('15030300020228', 'hex');
  assert.deepEqual(readSecondHello(Buffer.concat([alert, hello])), { kind: 'alert', length: 7 });
  assert.equal(readSecondHello(Buffer.from('GET /')).kind, 'bad');
  const endless = Buffer.concat(Array<Buffer>(5).fill(early));
  assert.equal(readSecondHello(endless).kind, 'bad');
});
