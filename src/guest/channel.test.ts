import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { Failure } from '../host/failure.ts';
import { echoFinder, openChannel } from './channel.ts';

const HELLO = Buffer.from(`VMSAN1 ${'0123456789abcdef'.repeat(2)}\n`);

describe('echoFinder', () => {
  test('finds the echo however the stream is cut', () => {
    const stream = Buffer.concat([Buffer.from('stale VMSAN1 00'), HELLO, Buffer.from('rest')]);
    for (let size = 1; size <= stream.length; size += 1) {
      const find = echoFinder(HELLO);
      let rest: Buffer | null = null;
      let at = 0;
      for (; rest === null && at < stream.length; at += size) {
        rest = find(stream.subarray(at, at + size));
      }
      const after = Buffer.concat([rest ?? Buffer.alloc(0), stream.subarray(at)]);
      assert.equal(after.toString(), 'rest', `in pieces of ${size}`);
    }
  });

  test('the echo of another session is none', () => {
    const other = Buffer.from(`VMSAN1 ${'f'.repeat(32)}\n`);
    assert.equal(echoFinder(HELLO)(other), null);
  });
});

describe('openChannel', () => {
  let directory: string;
  let path: string;
  let server: Server;
  const hosts = new Set<Socket>();

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'vmsan-channel-'));
    path = join(directory, 'agent.sock');
  });
  afterEach(async () => {
    for (const host of hosts) host.destroy();
    hosts.clear();
    await new Promise((resolve) => server?.close(resolve) ?? resolve(undefined));
    rmSync(directory, { recursive: true });
  });

  async function agent(answer: (hello: Buffer, host: Socket, session: number) => void) {
    let sessions = 0;
    server = createServer((host) => {
      hosts.add(host);
      const session = (sessions += 1);
      host.on('error', () => {});
      host.once('data', (hello: Buffer) => answer(hello, host, session));
    }).listen(path);
    await once(server, 'listening');
  }

  test('gives a socket that begins after the echo', async () => {
    await agent((hello, host) => {
      assert.match(hello.toString(), /^VMSAN1 [0-9a-f]{32}\n$/);
      host.write(Buffer.concat([Buffer.alloc(200_000, 'stale '), hello, Buffer.from('first')]));
    });
    const socket = await openChannel(path, { deadlineMs: 5_000 });
    // It is paused: whoever takes it over decides when it flows.
    const next = once(socket, 'data');
    socket.resume();
    const [bytes] = (await next) as [Buffer];
    socket.destroy();
    assert.equal(bytes.toString(), 'first');
  });

  test('tries again, under a new name, when it is closed or not answered', async () => {
    const seen = new Set<string>();
    await agent((hello, host, session) => {
      seen.add(hello.toString());
      if (session === 1) host.destroy();
      if (session === 3) host.write(hello);
    });
    (await openChannel(path, { deadlineMs: 10_000 })).destroy();
    assert.equal(seen.size, 3);
  });

  test('a deadline that passes is a failure that says what was missing', async () => {
    await agent(() => {});
    await assert.rejects(openChannel(path, { deadlineMs: 100 }), (error: Failure) => {
      assert.equal(error.code, 'timeout');
      assert.match(error.message, /did not answer within 0\.1 s/);
      return true;
    });
  });

  test('an aborted wait ends at once with the signal’s reason', async () => {
    await agent(() => {});
    const abort = new AbortController();
    const waiting = openChannel(path, { deadlineMs: 60_000, signal: abort.signal });
    abort.abort(new Error('the machine ended'));
    await assert.rejects(waiting, /the machine ended/);
  });

  test('so does one between two tries', async () => {
    const abort = new AbortController();
    // Nobody listens: nearly all of its time is pauses.
    const waiting = openChannel(path, { deadlineMs: 60_000, signal: abort.signal });
    setTimeout(() => abort.abort(new Error('the machine ended')), 200);
    await assert.rejects(waiting, /^Error: the machine ended$/);
  });
});
