import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { ProxyWorld, RawServer } from '../../test/fakes/proxy-world.ts';
import { until } from '../../test/lab/until.ts';
import { serveHttp } from './http.ts';
import type { ProxyLimits } from './limits.ts';

async function worldOf(limits: Partial<ProxyLimits> = {}) {
  const server = await RawServer.start();
  const world = await ProxyWorld.start(serveHttp, server.port, limits);
  const request = (line: string, host = 'allowed.example.com', ...fields: string[]) =>
    [line, `Host: ${host}:${server.port}`, ...fields, '', ''].join('\r\n');
  return {
    server,
    world,
    request,
    [Symbol.asyncDispose]: async () => {
      await world[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

const GET = 'GET / HTTP/1.1';
const answer = (body: string, ...fields: string[]) =>
  ['HTTP/1.1 200 OK', `Content-Length: ${body.length}`, ...fields, '', body].join('\r\n');

test('a request goes to the name’s address as it is, and so does the answer', async () => {
  await using all = await worldOf();
  const { server, world, request } = all;
  const coming = server.next();
  const client = world.client();
  const bytes = request('GET /x?y HTTP/1.1', 'Allowed.Example.com', 'X-Odd:  \t spaced ');
  for (const byte of bytes) client.socket.write(byte, 'latin1');
  const at = await coming;
  await at.until('the request', (text) => text === bytes);
  at.socket.write(answer('hello'));
  await client.until('the answer', (text) => text === answer('hello'));
  const { verdict, what, address } = world.decisions[0] ?? {};
  assert.deepEqual(
    [verdict, what, address],
    ['allow', 'GET http://allowed.example.com/x?y', '127.0.0.1'],
  );
});

test('a denied one gets a 403 that says why, and no server hears of it', async () => {
  await using all = await worldOf();
  const { server, world, request } = all;
  const client = world.client();
  client.socket.write(request(GET, 'denied.example.com'));
  const text = String(await client.all());
  assert.match(text, /^HTTP\/1\.1 403 Forbidden\r\n/);
  assert.match(text, /\r\nConnection: close\r\n/);
  assert.match(text, /vmsan: no rule allows denied\.example\.com\n/);
  assert.match(text, /hint: .*vmsan network vm-00000001/);
  assert.equal(client.over, 'end', 'not a reset, which could overtake the text');
  assert.deepEqual([server.seen, world.resolved], [[], []]);
  assert.equal(world.decisions[0]?.verdict, 'deny');
});

test('every request of a connection is judged: another allowed host, then a denied one', async () => {
  await using all = await worldOf();
  const { server, world, request } = all;
  await using other = await RawServer.start('127.0.0.2', server.port);
  world.addresses.set('other.example.com', ['127.0.0.2']);
  const client = world.client();
  const first = server.next();
  client.socket.write(request(GET));
  const at = await first;
  await at.until('the first', (text) => text.endsWith('\r\n\r\n'));
  at.socket.write(answer('one'));
  await client.until('one', (text) => text.endsWith('one'));

  const second = other.next();
  client.socket.write(
    request('POST / HTTP/1.1', 'other.example.com', 'Content-Length: 4') + 'body',
  );
  const there = await second;
  await there.until('the second', (text) => text.endsWith('body'));
  there.socket.write(answer('two'));
  await client.until('two', (text) => text.endsWith('two'));

  client.socket.write(request(GET, 'denied.example.com'));
  assert.match(String(await client.all()), /two.*403 Forbidden/s);
  assert.doesNotMatch(at.text + there.text, /denied/);
  assert.deepEqual([server.seen.length, other.seen.length], [1, 1]);
});

test('pipelined requests are served in turn, the forbidden one last', async () => {
  await using all = await worldOf();
  const { server, world, request } = all;
  const coming = server.next();
  const client = world.client();
  const two = [request('HEAD /1 HTTP/1.1'), request('GET /2 HTTP/1.1')];
  client.socket.write(two.join('') + request(GET, 'denied.example.com'));
  const at = await coming;
  await at.until('the first alone', (text) => text === two[0]);
  at.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n');
  await at.until('the second', (text) => text === two.join(''));
  at.socket.write('HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-');
  at.socket.write('Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n');
  const text = String(await client.all());
  assert.match(text, /999\r\n\r\nHTTP\/1\.1 103 .*abc\r\n0\r\n\r\nHTTP\/1\.1 403/s);
  assert.doesNotMatch(at.text, /denied/);
});

test('the end of a body is where the next head is looked for', async () => {
  await using all = await worldOf();
  const { server, world, request } = all;
  const forbidden = request(GET, 'denied.example.com');
  for (const [field, body] of [
    [`Content-Length: ${forbidden.length}`, forbidden],
    ['Transfer-Encoding: chunked', `${forbidden.length.toString(16)}\r\n${forbidden}\r\n0\r\n\r\n`],
  ] as const) {
    const coming = server.next();
    const client = world.client();
    const whole = request('POST / HTTP/1.1', undefined, field) + body;
    for (const byte of whole + forbidden) client.socket.write(byte, 'latin1');
    const at = await coming;
    await at.until('the whole of it', (text) => text === whole);
    at.socket.write(answer('taken'));
    assert.match(String(await client.all()), /taken.*403/s);
    assert.equal(at.text, whole);
  }
});

test('what can be read in two ways, tunnels and HTTP/2 get a 400', async () => {
  await using all = await worldOf();
  const { server, world, request } = all;
  for (const bytes of [
    request('POST / HTTP/1.1', undefined, 'Content-Length: 3', 'Transfer-Encoding: chunked'),
    request(GET, undefined, 'Host: denied.example.com'),
    request(GET, undefined, 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c'),
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'CONNECT denied.example.com:443 HTTP/1.1\r\nHost: allowed.example.com\r\n\r\n',
    '\x16\x03\x01\x02\x00\r\n\r\n',
  ]) {
    const client = world.client();
    client.socket.write(bytes, 'latin1');
    assert.match(String(await client.all()), /^HTTP\/1\.1 40[03] .*vmsan: the request is refused/s);
  }
  assert.equal(server.seen.length, 0);
});

test('opaque only after a 101 that was asked for', async () => {
  await using all = await worldOf();
  const { server, world, request } = all;
  const upgrade = request(GET, undefined, 'Connection: Upgrade', 'Upgrade: websocket');
  const forbidden = request(GET, 'denied.example.com');

  const first = server.next();
  const granted = world.client();
  granted.socket.write(upgrade);
  const at = await first;
  at.socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\nserver speaks');
  await granted.until('the server', (text) => text.endsWith('server speaks'));
  granted.socket.write(forbidden);
  await at.until('bytes that are no request any more', (text) => text === upgrade + forbidden);
  granted.socket.end();
  await at.all();
  at.socket.end('and the rest');
  assert.match(String(await granted.all()), /and the rest$/);

  const second = server.next();
  const refused = world.client();
  refused.socket.write(upgrade + forbidden);
  (await second).socket.write(answer('no'));
  assert.match(String(await refused.all()), /no.*403/s);

  const third = server.next();
  const unasked = world.client();
  unasked.socket.write(request(GET) + forbidden);
  const server3 = await third;
  server3.socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n');
  await unasked.until('the 101', (text) => text.includes('101'));
  unasked.socket.end(forbidden);
  await server3.all();
  assert.doesNotMatch(server3.text, /denied/);
});

test('an answer nobody can follow is passed on, and nothing after it', async () => {
  await using all = await worldOf();
  const { server, world, request } = all;
  for (const odd of [
    'ICY 200 OK\r\n\r\nmusic',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\nz',
  ]) {
    const coming = server.next();
    const client = world.client();
    client.socket.write(request(GET));
    const at = await coming;
    at.socket.write(odd);
    await client.until('it', (text) => text === odd);
    client.socket.write(request('GET /again HTTP/1.1'));
    client.socket.end();
    await at.all();
    assert.doesNotMatch(at.text, /again/);
    at.socket.end(' on and on');
    assert.equal(String(await client.all()), `${odd} on and on`);
  }
});

test('a guest that has said all and shuts down still gets the answer', async () => {
  await using all = await worldOf();
  const { server, world, request } = all;
  const coming = server.next();
  const client = world.client();
  client.socket.end(request(GET));
  const at = await coming;
  await at.all();
  at.socket.end('HTTP/1.1 200 OK\r\n\r\nuntil I close');
  assert.match(String(await client.all()), /until I close$/);
});

test('many bytes, both ways, to slow readers too', async () => {
  await using all = await worldOf();
  const { server, world, request } = all;
  const body = randomBytes(16 << 20);
  const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
  const coming = server.next();
  const client = world.client();
  const head = request('POST / HTTP/1.1', undefined, `Content-Length: ${body.length}`);
  client.socket.write(head);
  client.socket.write(body);
  const at = await coming;
  at.socket.pause();
  await until('the guest cannot send on', () => client.socket.writableLength > 0);
  at.socket.resume();
  await until('it is all there', () => at.bytes.length === head.length + body.length);
  assert.equal(hash(at.bytes.subarray(head.length)), hash(body));

  client.socket.pause();
  at.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
  at.socket.write(body);
  await until('the server cannot send on', () => at.socket.writableLength > 0);
  client.socket.resume();
  await until('the last byte', () => client.bytes.length >= body.length + 30);
  assert.equal(hash(client.bytes.subarray(-body.length)), hash(body));

  client.socket.write(request('GET /next HTTP/1.1'));
  await until('the next request', () => at.bytes.subarray(-200).includes('GET /next'));
});

test('a server that cannot be reached is a 502, a denied address a 403', async () => {
  await using all = await worldOf();
  const { world, request } = all;
  world.addresses.set('other.example.com', ['127.0.0.9']);
  const client = world.client();
  client.socket.write(request(GET, 'other.example.com'));
  assert.match(String(await client.all()), /^HTTP\/1\.1 502 .*cannot be reached: 127\.0\.0\.9/s);
  world.deniedAddresses.add('127.0.0.1');
  const denied = world.client();
  denied.socket.write(request(GET));
  assert.match(String(await denied.all()), /^HTTP\/1\.1 403 .*127\.0\.0\.1 is denied/s);
  world.resolve = async () => ({ error: 'no such name' });
  const nameless = world.client();
  nameless.socket.write(request(GET));
  assert.match(String(await nameless.all()), /^HTTP\/1\.1 502 .*no such name/s);
});

test('a policy that changes ends what it forbids, between requests too', async () => {
  await using all = await worldOf();
  const { server, world, request } = all;
  const coming = server.next();
  const client = world.client();
  client.socket.write(request(GET));
  const at = await coming;
  at.socket.write(answer('one'));
  await client.until('one', (text) => text.endsWith('one'));
  assert.equal(world.proxy.judgeAgain(), 0);
  world.names.delete('allowed.example.com');
  assert.equal(world.proxy.judgeAgain(), 1);
  await client.all();
  assert.equal(client.over, 'reset');
  assert.equal((await at.all()).toString().includes('GET'), true);
});

test('the next request to the same host is judged by the policy of then', async () => {
  await using all = await worldOf();
  const { server, world, request } = all;
  const coming = server.next();
  const client = world.client();
  client.socket.write(request(GET));
  const at = await coming;
  at.socket.write(answer('one'));
  await client.until('one', (text) => text.endsWith('one'));
  world.names.delete('allowed.example.com');
  client.socket.write(request('GET /again HTTP/1.1'));
  assert.match(String(await client.all()), /one.*403 Forbidden/s);
  assert.doesNotMatch(at.text, /again/);
});

test('a slow head is cut off', async () => {
  await using all = await worldOf({ headMs: 50 });
  const client = all.world.client();
  client.socket.write('GET / HT');
  await client.all();
  assert.equal(all.server.seen.length, 0);
});
