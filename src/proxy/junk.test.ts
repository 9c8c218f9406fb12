import { test } from 'node:test';
import assert from 'node:assert/strict';
import { clientHello as helloTarget } from '../../test/fuzz/client-hello.ts';
import { seedsOf } from '../../test/fuzz/fuzz.ts';
import { httpHead as headTarget } from '../../test/fuzz/http-head.ts';
import { mutate } from '../../test/fuzz/mutate.ts';
import { Random } from '../../test/fuzz/random.ts';
import { clientHello, records, serverHello } from '../../test/fakes/client-hello.ts';
import { ProxyWorld, RawServer, type Heard } from '../../test/fakes/proxy-world.ts';
import { until } from '../../test/lab/until.ts';
import { serveHttp } from './http.ts';
import { serveTls } from './tls.ts';

const CONNECTIONS = 400;
const AT_ONCE = 16;
const SEED = 20_261_124;

const HELLO = records(clientHello());
const request = (port: number) =>
  Buffer.from(`GET / HTTP/1.1\r\nHost: allowed.example.com:${port}\r\n\r\n`);

/** Ends a connection in one of the ways there are. */
function leave({ socket }: Heard, way: number): void {
  if (way === 0) socket.end();
  else if (way === 1) socket.resetAndDestroy();
  else if (way === 2) socket.destroy();
}

for (const [serve, target, greeting, reply] of [
  [serveTls, helloTarget, () => HELLO, records(serverHello())],
  [serveHttp, headTarget, request, Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')],
] as const) {
  test(`${target.name}: nothing guests or servers send ends it or stays held`, async () => {
    const random = new Random(SEED);
    const corpus = seedsOf(target);
    await using server = await RawServer.start();
    const limits = {
      headMs: 300,
      handshakeMs: 300,
      keepAliveMs: 300,
      halfClosedMs: 300,
      idleMs: 300,
      lingerMs: 300,
    };
    await using world = await ProxyWorld.start(serve, server.port, limits);
    const answer = (at: Heard): void => {
      const words = random.below(2) === 0 ? reply : mutate(corpus, target.words, random);
      if (random.below(8) > 0) at.socket.write(words);
      leave(at, random.below(4));
      void server.next().then(answer);
    };
    void server.next().then(answer);
    let left = CONNECTIONS;
    const attack = async () => {
      while (left-- > 0) {
        const client = world.client();
        const junk = mutate(corpus, target.words, random);
        const first = random.below(2) === 0 ? greeting(server.port) : Buffer.alloc(0);
        const bytes = Buffer.concat([first, junk]).subarray(0, 3000);
        const step = 1 + random.below(bytes.length + 1);
        for (let at = 0; at < bytes.length; at += step) {
          client.socket.write(bytes.subarray(at, at + step));
        }
        leave(client, random.below(4));
        await until('it is over', () => client.over ?? client.socket.destroyed);
        client.socket.destroy();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, attack));
    await until('nothing is held', () => {
      const { guests, destinations } = world.slots;
      return guests.total === 0 && destinations.total === 0;
    });
    for (const { socket } of server.seen) socket.destroy();
    const before = server.seen.length;
    world.client().socket.write(greeting(server.port));
    await until('it still serves', () => server.seen.length > before);
    assert.ok(before > 20, `${before} of the connections reached the server`);
  });
}
