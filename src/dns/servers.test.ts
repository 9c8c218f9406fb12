import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { bindUdp, listenTcp } from '../host/ffi.ts';
import { until } from '../../test/lab/until.ts';
import { framed } from '../../test/fakes/upstream.ts';
import type { Resolve } from './resolver.ts';
import { serveTcp, type TcpLimits } from './tcp-server.ts';
import { serveUdp } from './udp-server.ts';

const LOOPBACK = [127, 0, 0, 1];
const GUEST = { ip: '127.0.0.1', vmId: 'vm-00000001', generation: 1 };
const deadline = () => ({ signal: AbortSignal.timeout(5000) });
const noReport = () => {};

/** Answers guests by sending their bytes back, everybody else by silence. */
const echo: Resolve = async (bytes, source) => (source === GUEST.ip ? bytes : null);

const portOf = ({ address }: { address: string }) => Number(address.split(':')[1]);

async function udpClient(address: string): Promise<UdpSocket> {
  const socket = createSocket('udp4').bind(0, address);
  await once(socket, 'listening');
  return socket;
}

test('UDP: guests are answered, an unknown source is not', async () => {
  const server = await serveUdp(bindUdp(LOOPBACK, 0), echo, noReport);
  const guest = await udpClient('127.0.0.1');
  const stranger = await udpClient('127.0.0.2');
  try {
    let heard = 0;
    stranger.on('message', () => heard++);
    stranger.send('who am I', portOf(server), '127.0.0.1');
    // Served in order: when this is answered, the stranger's was handled.
    guest.send('hello', portOf(server), '127.0.0.1');
    const [reply] = (await once(guest, 'message', deadline())) as [Buffer];
    assert.equal(String(reply), 'hello');
    await new Promise(setImmediate);
    assert.equal(heard, 0);
  } finally {
    for (const socket of [server, guest, stranger]) socket.close();
  }
});

test('a descriptor of another kind is refused', async () => {
  await assert.rejects(serveUdp(listenTcp(LOOPBACK, 0), echo, noReport));
});

async function tcpServer(options: {
  resolve?: Resolve;
  limits?: Partial<TcpLimits>;
  isGuest?: (source: string) => boolean;
}) {
  const { resolve = echo, limits = {} } = options;
  const { isGuest = (source: string) => source === GUEST.ip } = options;
  return serveTcp(listenTcp(LOOPBACK, 0), {
    resolve,
    guestOf: (source) => (isGuest(source) ? { ...GUEST, ip: source } : undefined),
    report: noReport,
    limits,
  });
}

/** A connection under way: what is written now goes once it is there. */
function tcpClient(server: { address: string }, localAddress = '127.0.0.1'): Socket {
  return connect({ port: portOf(server), host: '127.0.0.1', localAddress, noDelay: true });
}

/** What comes back for `text`; empty when the connection is closed instead. */
async function ask(socket: Socket, text: string): Promise<string> {
  socket.write(framed(Buffer.from(text)));
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.once('data', (chunk) => resolve(chunk.toString('latin1', 2)));
  socket.on('error', () => {});
  socket.once('close', () => resolve(''));
  return promise;
}

/** Everything that comes until the other side is done with the connection. */
async function readAll(socket: Socket): Promise<string> {
  let all = '';
  socket.on('data', (chunk) => (all += chunk.toString('latin1')));
  socket.on('error', () => {});
  await new Promise<void>((done, fail) => {
    socket.on('close', () => done());
    AbortSignal.timeout(5000).addEventListener('abort', () => fail(new Error('not closed in 5 s')));
  });
  return all;
}

test('TCP: messages in fragments, several at once, and a shut-down before the answers', async () => {
  const server = await tcpServer({});
  try {
    const socket = tcpClient(server);
    const stream = Buffer.concat(Array.from('abcdefghijkl', (text) => framed(Buffer.from(text))));
    const all = readAll(socket);
    for (const byte of stream.subarray(0, 7)) {
      await new Promise((sent) => socket.write(Buffer.from([byte]), sent));
    }
    socket.end(stream.subarray(7));
    assert.equal(await all, stream.toString('latin1'));
  } finally {
    server.close();
  }
});

test('TCP: an unknown source is closed unheard', async () => {
  const server = await tcpServer({ resolve: () => assert.fail('it was heard') });
  try {
    const socket = tcpClient(server, '127.0.0.2');
    socket.write(framed(Buffer.from('hello')));
    assert.equal(await readAll(socket), '');
  } finally {
    server.close();
  }
});

test('TCP: a guest has only so many connections, and closing one makes room', async () => {
  const server = await tcpServer({ limits: { perGuest: 2 } });
  try {
    const [first, second] = [tcpClient(server), tcpClient(server)];
    assert.equal(await ask(first, 'one'), 'one');
    assert.equal(await ask(second, 'two'), 'two');
    assert.equal(await ask(tcpClient(server), 'three'), '');
    first.destroy();
    await until('the server has seen the first one close', async () => {
      const third = tcpClient(server);
      const answer = await ask(third, 'three');
      third.destroy();
      return answer === 'three';
    });
    second.destroy();
  } finally {
    server.close();
  }
});

test('TCP: of all connections each guest has two, whatever others have', async () => {
  const resolve: Resolve = async (bytes) => bytes;
  const server = await tcpServer({ resolve, isGuest: () => true, limits: { total: 3 } });
  const clients: Socket[] = [];
  const connects = (source: string) => {
    const client = tcpClient(server, source);
    clients.push(client);
    return ask(client, 'hello');
  };
  try {
    for (const answer of ['hello', 'hello', 'hello', '']) {
      assert.equal(await connects('127.0.0.1'), answer);
    }
    for (const answer of ['hello', 'hello', '']) assert.equal(await connects('127.0.0.2'), answer);
  } finally {
    for (const client of clients) client.destroy();
    server.close();
  }
});

test('TCP: an over-long message ends the connection', async () => {
  const server = await tcpServer({ limits: { idleMs: 60_000 } });
  try {
    const long = tcpClient(server);
    long.write(Buffer.from([0xff, 0xff, 0]));
    assert.equal(await readAll(long), '');
  } finally {
    server.close();
  }
});

test('TCP: a dawdler ends the connection', async () => {
  const server = await tcpServer({ limits: { idleMs: 50 } });
  try {
    const slow = tcpClient(server);
    slow.write(Buffer.from([0, 9, 1]));
    assert.equal(await readAll(slow), '');
  } finally {
    server.close();
  }
});

test('TCP: no more queries are read than may wait', async () => {
  const answers: (() => void)[] = [];
  const asked: string[] = [];
  const resolve: Resolve = (bytes) => {
    asked.push(String(bytes));
    return new Promise((done) => answers.push(() => done(Buffer.from(bytes))));
  };
  const server = await tcpServer({ resolve, limits: { waiting: 2, idleMs: 60_000 } });
  try {
    const socket = tcpClient(server);
    socket.write(Buffer.concat(['a', 'b', 'c'].map((text) => framed(Buffer.from(text)))));
    const other = tcpClient(server);
    other.write(framed(Buffer.from('z')));
    await until('that of the second is asked', () => asked.includes('z'));
    assert.deepEqual(asked, ['a', 'b', 'z'], 'two of the first connection, one of the second');
    answers[0]?.();
    await once(socket, 'data', deadline());
    await until('an answer made room for the next', () => answers.length === 4);
    for (const client of [socket, other]) client.destroy();
  } finally {
    server.close();
  }
});

test('TCP: connections of who is no guest any more are closed', async () => {
  let known = true;
  const server = await tcpServer({ isGuest: () => known });
  try {
    const socket = tcpClient(server);
    assert.equal(await ask(socket, 'x'), 'x');
    const all = readAll(socket);
    known = false;
    server.closeStrangers();
    assert.equal(await all, '');
  } finally {
    server.close();
  }
});
