import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type ClientHttp2Stream, type Http2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connectAgent, type GuestAgent } from '../guest/agent.ts';
import { ATTACKS, type AttackName } from '../guest/testing/attacks.ts';
import { goodAgent } from '../guest/testing/good-agent.ts';
import { hostileAgent } from '../guest/testing/hostile-agent.ts';
import { until } from '../../test/lab/until.ts';
import { EXEC_PATH, forwardExec } from './exec-forward.ts';

const DEADLINE_MS = 20_000;
const HEADERS = {
  ':method': 'POST',
  ':path': EXEC_PATH,
  'content-type': 'application/connect+proto',
  'connect-protocol-version': '1',
};
const MIB = 1024 * 1024;
const ENOUGH = 100 * MIB;
const MAX_GROWTH = 96 * MIB;

/** Waits until what an agent sends is no more for a while, or enough, or the call is over. */
async function noMore(sentBy: () => number | Promise<number>, over = () => false): Promise<void> {
  let sent = -1;
  let still = 0;
  await until('the agent has done what it can', async () => {
    const last = sent;
    sent = await sentBy();
    still = sent === last ? still + 1 : 0;
    return over() || still === 8 || sent > ENOUGH;
  });
}

/** The two hops of an Exec, without their daemon: caller → forwardExec → agent. */
describe('an Exec that is forwarded to a hostile agent', () => {
  let server: Http2Server;
  let agent: GuestAgent;

  before(async () => {
    server = createServer();
    server.on('stream', (stream, headers) => {
      try {
        forwardExec(agent, stream, headers);
      } catch {
        stream.close();
      }
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  after(() => server.close());

  /** A call by a caller that reads all, or nothing, of what comes. */
  async function call(work: (stream: ClientHttp2Stream) => Promise<void>): Promise<void> {
    const { port } = server.address() as AddressInfo;
    const session = connect(`http://127.0.0.1:${port}`);
    session.on('error', () => {});
    const stream = session.request(HEADERS, { endStream: false });
    stream.on('error', () => {});
    try {
      await work(stream);
    } finally {
      session.destroy();
    }
  }

  for (const attack of Object.keys(ATTACKS) as AttackName[]) {
    test(`one that ${attack}: the daemon lives, in bounded memory`, async () => {
      await using hostile = await hostileAgent(attack);
      const before = process.memoryUsage().rss;
      try {
        agent = await connectAgent(hostile.path, { deadlineMs: 1_000 });
      } catch {
        // Some have shown what they are already.
        return;
      }
      await call(async (stream) => {
        stream.resume();
        await noMore(
          async () => (await hostile.seen()).sent,
          () => stream.closed,
        );
      });
      agent.close();
      await agent.closed;
      const grown = process.memoryUsage().rss - before;
      assert.ok(grown < MAX_GROWTH, `grew by ${grown} bytes`);
    });
  }

  test('output that nobody reads stays with the agent', async () => {
    const chunk = Buffer.alloc(64 * 1024);
    let sent = 0;
    let ended = false;
    await using good = await goodAgent({
      async *exec() {
        try {
          for (; ; sent += chunk.length) yield { message: { case: 'stdout', value: chunk } };
        } finally {
          ended = true;
        }
      },
    });
    agent = await connectAgent(good.path, { deadlineMs: DEADLINE_MS });
    await call(async (stream) => {
      await once(stream, 'response');
      await noMore(() => sent);
      assert.ok(sent > 0 && sent < 8 * MIB, `${sent} bytes were taken`);
      assert.equal(stream.closed, false);
    });
    await until('the agent knows that its caller has gone', () => ended);
    agent.close();
  });
});
