import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect as connectTcp, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tls from 'node:tls';
import { RETRY_RANDOM, clientHello, records, serverHello } from '../../test/fakes/client-hello.ts';
import type { RawServer } from '../../test/fakes/proxy-world.ts';
import { Heard, ProxyWorld, withRawServer } from '../../test/fakes/proxy-world.ts';
import { until } from '../../test/lab/until.ts';
import { run } from '../host/run.ts';
import type { ProxyLimits } from './limits.ts';
import { serveTls } from './tls.ts';

const NAME = 'allowed.example.com';
const DENIED = 'denied.example.com';
const dir = mkdtempSync(join(tmpdir(), 'vmsan-tls-'));
let certificate: { key: string; cert: string };

before(async () => {
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
  const subject = ['-subj', '/CN=test', '-addext', `subjectAltName=DNS:${NAME}`];
  const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  await run(['openssl', 'req', '-x509', ...made, ...subject, '-keyout', key, '-out', cert]);
  certificate = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
});
after(() => rmSync(dir, { recursive: true }));

/** A TLS server that wants P-256 and tells which names it was asked for. */
async function tlsServer() {
  const asked: string[] = [];
  const server = tls.createServer(
    {
      ...certificate,
      ecdhCurve: 'P-256',
      SNICallback: (name, done) => {
        asked.push(name);
        done(null, tls.createSecureContext(certificate));
      },
    },
    (socket) => socket.on('error', () => {}).end('hello from inside'),
  );
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { asked, port: (server.address() as AddressInfo).port, close: () => server.close() };
}

async function realWorld() {
  const server = await tlsServer();
  const world = await ProxyWorld.start(serveTls, server.port);
  return {
    server,
    world,
    [Symbol.asyncDispose]: async () => {
      await world[Symbol.asyncDispose]();
      server.close();
    },
  };
}

const rawWorld = (limits: Partial<ProxyLimits> = {}) => withRawServer(serveTls, limits);

/** What a TLS client gets to read. @throws as the client does */
async function fetch(port: number, options: tls.ConnectionOptions): Promise<string> {
  const socket = tls.connect({ host: '127.0.0.1', port, ca: certificate.cert, ...options });
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += String(chunk)));
  await once(socket, 'end', { signal: AbortSignal.timeout(10_000) });
  socket.destroy();
  return text;
}

/** The first bytes of a real client: its ClientHello. */
async function realHello(servername: string, ecdhCurve: string): Promise<Buffer> {
  const sink = createServer().listen(0, '127.0.0.1');
  await once(sink, 'listening');
  const { port } = sink.address() as AddressInfo;
  const client = tls.connect({ host: '127.0.0.1', port, servername, ecdhCurve });
  client.on('error', () => {});
  const [socket] = (await once(sink, 'connection')) as [Socket];
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  sink.close();
  return bytes;
}

const ALERT = {
  accessDenied: '15030300020231',
  internal: '15030300020250',
  decode: '15030300020232',
};

test('an allowed name is connected, also when the server asks for a second hello', async () => {
  await using all = await realWorld();
  const { server, world } = all;
  for (const ecdhCurve of ['P-256', 'X25519:P-256']) {
    const text = await fetch(world.port, { servername: NAME, ecdhCurve });
    assert.equal(text, 'hello from inside', ecdhCurve);
  }
  const old = await fetch(world.port, { servername: NAME, maxVersion: 'TLSv1.2' });
  assert.equal(old, 'hello from inside');
  assert.deepEqual(new Set(server.asked), new Set([NAME]));
  const { verdict, what, rule, address } = world.decisions[0] ?? {};
  assert.deepEqual([verdict, what, rule, address], ['allow', NAME, NAME, '127.0.0.1']);
});

test('a denied name and none get an alert, and no server hears of them', async () => {
  await using all = await realWorld();
  const { server, world } = all;
  await assert.rejects(fetch(world.port, { servername: 'denied.example.com' }), /access denied/);
  await assert.rejects(fetch(world.port, { servername: '' }), /access denied/);
  const extensions = [[0xfe0d, Buffer.alloc(100)]] as const;
  for (const hello of [records(clientHello({ extensions })), Buffer.from('GET / HTTP/1.1\r\n')]) {
    const client = world.client();
    client.socket.write(hello);
    assert.equal((await client.all()).toString('hex'), ALERT.accessDenied);
    assert.equal(client.over, 'end');
  }
  assert.deepEqual([server.asked, world.resolved], [[], []]);
  assert.deepEqual(
    world.decisions.map(({ rule }) => rule),
    ['', 'no-name', 'ech', 'not-tls'],
  );
});

/** OpenSSL's own server, which tells every name it reads; it wants P-256. One connection at a time. */
async function opensslServer() {
  const files = ['-cert', join(dir, 'cert.pem'), '-key', join(dir, 'key.pem')];
  const second = ['-cert2', join(dir, 'cert.pem'), '-key2', join(dir, 'key.pem')];
  const argv = ['s_server', '-accept', '127.0.0.1:0', '-curves', 'P-256', '-servername', DENIED];
  const server = spawn('stdbuf', ['-o0', 'openssl', ...argv, ...files, ...second]);
  let said = '';
  server.stdout.on('data', (chunk: Buffer) => (said += String(chunk)));
  const port = await until('it listens', () => /ACCEPT 127\.0\.0\.1:(\d+)/.exec(said)?.[1]);
  return {
    port: Number(port),
    asked: () => [...said.matchAll(/Hostname in TLS extension: "(.*?)"/g)].map(([, name]) => name),
    [Symbol.asyncDispose]: async () => {
      server.kill('SIGKILL');
      await once(server, 'exit');
    },
  };
}

test('the second hello must name the server of the first', async () => {
  await using server = await opensslServer();
  const first = await realHello(NAME, 'X25519:P-256');
  const second = await realHello(DENIED, 'P-256:X25519');
  const isRetried = (heard: Heard) => () => heard.bytes.includes(RETRY_RANDOM, 0, 'hex');
  // Not through the proxy, the server does take the second name.
  const direct = new Heard(connectTcp(server.port, '127.0.0.1'));
  try {
    direct.socket.write(first);
    await direct.until('a HelloRetryRequest', isRetried(direct));
    direct.socket.write(second);
    await until('the server is asked for it', () => server.asked().includes(DENIED));
  } finally {
    direct.socket.destroy();
  }
  const before = server.asked().length;

  await using world = await ProxyWorld.start(serveTls, server.port);
  for (const together of [true, false]) {
    const client = world.client();
    client.socket.write(together ? Buffer.concat([first, second]) : first);
    if (!together) {
      await client.until('the retry', isRetried(client));
      client.socket.write(second);
    }
    assert.ok((await client.all()).toString('hex').endsWith(ALERT.accessDenied));
    assert.equal(world.decisions.at(-1)?.rule, 'second-hello');
  }
  const same = world.client();
  same.socket.write(Buffer.concat([first, await realHello(NAME, 'P-256:X25519')]));
  await same.until('more than the retry', (text) => text.length > 400);
  assert.deepEqual(new Set(server.asked().slice(before)), new Set([NAME]));
});

test('a hello in pieces and a long one pass whole', async () => {
  await using all = await rawWorld();
  const { server, world } = all;
  for (const [bytes, step] of [
    [records(clientHello(), 20), 1],
    [records(clientHello({ keyShare: 1216 }), 700), 500],
  ] as const) {
    const coming = server.next();
    const client = world.client();
    for (let at = 0; at < bytes.length; at += step)
      client.socket.write(bytes.subarray(at, at + step));
    const at = await coming;
    await until('the hello is there', () => at.bytes.equals(bytes));
  }
});

test('what follows the hello waits for the server’s answer', async () => {
  await using all = await rawWorld();
  const { server, world } = all;
  const hello = records(clientHello());
  const coming = server.next();
  const client = world.client();
  client.socket.write(Buffer.concat([hello, Buffer.from('early')]));
  const at = await coming;
  await until('the hello is there', () => at.bytes.length >= hello.length);
  const answer = records(serverHello());
  at.socket.write(answer.subarray(0, 20));
  await until('half an answer passed', () => client.bytes.length === 20);
  assert.equal(at.bytes.length, hello.length);
  at.socket.write(answer.subarray(20));
  await at.until('the rest', (text) => text.endsWith('early'));
});

test('who answers with no TLS is heard, and hears nothing more', async () => {
  await using all = await rawWorld();
  const { server, world } = all;
  const hello = records(clientHello());
  const coming = server.next();
  const client = world.client();
  client.socket.write(hello);
  const at = await coming;
  at.socket.write('SSH-2.0-x\r\n');
  await client.until('the banner', (text) => text === 'SSH-2.0-x\r\n');
  client.socket.end('SSH-2.0-y\r\n');
  assert.deepEqual(await at.all(), hello);
});

/** A connection past its handshake. */
async function opened({ server, world }: { server: RawServer; world: ProxyWorld }) {
  const coming = server.next();
  const client = world.client();
  client.socket.write(records(clientHello()));
  const at = await coming;
  at.socket.write(records(serverHello()));
  await client.until('the answer', (text) => text.length > 0);
  return { client, at };
}

test('either side may end first, and the other still speaks', async () => {
  await using all = await rawWorld();
  const one = await opened(all);
  one.client.socket.end('guest is done');
  await one.at.all();
  one.at.socket.end('server goes on');
  assert.match(String(await one.client.all()), /server goes on$/);

  const two = await opened(all);
  two.at.socket.end('server is done');
  await two.client.all();
  two.client.socket.end('guest goes on');
  assert.match(String(await two.at.all()), /guest goes on$/);
});

test('one that is half closed is given up, not held for ever', async () => {
  await using all = await rawWorld({ halfClosedMs: 50 });
  const one = await opened(all);
  one.client.socket.end();
  const two = await opened(all);
  two.at.socket.end();
  await until('both are given back', () => all.world.slots.guests.total === 0);
  assert.equal(all.world.slots.destinations.total, 0);
});

test('a reset is a reset on the other side', async () => {
  await using all = await rawWorld();
  const one = await opened(all);
  one.at.socket.resetAndDestroy();
  await one.client.all();
  assert.equal(one.client.over, 'reset');
  const two = await opened(all);
  two.client.socket.resetAndDestroy();
  await two.at.all();
  assert.equal(two.at.over, 'reset');
});

test('many bytes both ways at once, whole', async () => {
  await using all = await rawWorld();
  const { client, at } = await opened(all);
  const [helloBytes, answerBytes] = [at.bytes.length, client.bytes.length];
  const bytes = randomBytes(16 << 20);
  const hash = (data: Buffer) => createHash('sha256').update(data).digest('hex');
  client.socket.pause();
  at.socket.end(bytes);
  client.socket.end(bytes);
  await until('the server cannot send on', () => at.socket.writableLength > 0);
  client.socket.resume();
  assert.equal(hash((await client.all()).subarray(answerBytes)), hash(bytes));
  assert.equal(hash((await at.all()).subarray(helloBytes)), hash(bytes));
});

test('the next address is tried; none left is an alert', async () => {
  await using all = await realWorld();
  const { world } = all;
  world.addresses.set(NAME, ['127.0.0.9', '127.0.0.1']);
  assert.equal(await fetch(world.port, { servername: NAME }), 'hello from inside');
  world.addresses.set(NAME, ['127.0.0.9']);
  await assert.rejects(fetch(world.port, { servername: NAME }), /internal error/);
  world.addresses.set(NAME, []);
  await assert.rejects(fetch(world.port, { servername: NAME }), /internal error/);
  world.addresses.set(NAME, ['127.0.0.1']);
  world.deniedAddresses.add('127.0.0.1');
  await assert.rejects(fetch(world.port, { servername: NAME }), /access denied/);
  assert.match(world.decisions.at(-1)?.reason ?? '', /127\.0\.0\.1 is denied/);
});

test('a policy that changes ends what it forbids and leaves the rest', async () => {
  await using all = await rawWorld();
  const { world } = all;
  const { client, at } = await opened(all);
  world.names.add('new.example.com');
  assert.equal(world.proxy.judgeAgain(), 0);
  client.socket.write('still there');
  await at.until('it', (text) => text.endsWith('still there'));
  world.deniedAddresses.add('127.0.0.1');
  assert.equal(world.proxy.judgeAgain(), 1);
  await Promise.all([client.all(), at.all()]);
  assert.deepEqual([client.over, at.over], ['reset', 'reset']);
  assert.equal(world.proxy.judgeAgain(), 0);
});

test('connections are bounded, and given back however they end', async () => {
  await using all = await rawWorld({ perGuest: 2, perDestination: 2 });
  const { world } = all;
  const [one, two] = [await opened(all), await opened(all)];
  const third = world.client();
  await third.all();
  assert.equal(third.over, 'reset');
  assert.ok(world.reports.length > 0);
  one.client.socket.end();
  await one.at.all();
  one.at.socket.end();
  two.at.socket.resetAndDestroy();
  for (let round = 0; round < 30; round++) {
    await until('there is room again', async () => {
      const seen = all.server.seen.length;
      const client = world.client();
      client.socket.write(records(clientHello()));
      await until('it is let in or not', () => client.over ?? all.server.seen.length > seen);
      const at = all.server.seen[seen];
      if (at === undefined) return false;
      at.socket.write(records(serverHello()));
      await client.until('the answer', (text) => text.length > 0);
      if (round % 3 === 0) client.socket.resetAndDestroy();
      else if (round % 3 === 1) at.socket.end(() => client.socket.end());
      else client.socket.end(() => at.socket.end());
      return true;
    });
  }
});

test('a dawdler and a stranger are closed', async () => {
  await using all = await rawWorld({ headMs: 50 });
  const { server, world } = all;
  const slow = world.client();
  slow.socket.write(records(clientHello()).subarray(0, 100));
  await slow.all();
  const stranger = world.client('127.0.0.2');
  stranger.socket.write(records(clientHello()));
  await stranger.all();
  assert.equal(server.seen.length, 0);
});
