import { test } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { DaemonGone, exchange } from './http.ts';

/** SETTINGS, and for stream 1 a HEADERS frame with ":status: 200" (RFC 9113 section 6, RFC 7541 appendix A). */
const ANSWER = Buffer.from(
  '000000' + '04' + '00' + '00000000' + '000001010400000001' + '88',
  'hex',
);

test('a daemon that dies before it has read what was sent is a daemon that went away', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'vmsan-http-'));
  const path = join(dir, 'daemon.sock');
  const server = createServer({ pauseOnConnect: true });
  try {
    server.listen(path);
    await once(server, 'listening');
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const socket = connect(path);
    await once(socket, 'connect');
    const [theirs] = await accepted;
    const call = await exchange(() => Promise.resolve(socket), '/', {});
    theirs.write(ANSWER);
    const { status, body } = await call.response();
    assert.equal(status, 200);
    // Closing a unix socket with unread bytes in it is a reset for its peer (unix(7)).
    theirs.destroy();
    await assert.rejects(buffer(body), DaemonGone);
  } finally {
    server.close();
    rmSync(dir, { recursive: true });
  }
});
