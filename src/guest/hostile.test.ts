import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until } from '../../test/lab/until.ts';
import { Failure } from '../host/failure.ts';
import { connectAgent, type GuestAgent } from './agent.ts';
import { openChannel } from './channel.ts';
import { startSession } from './session.ts';
import { ATTACKS, type AttackName } from './testing/attacks.ts';
import { goodAgent } from './testing/good-agent.ts';
import { hostileAgent, NO_ECHO, type HostileAgent } from './testing/hostile-agent.ts';

const DEADLINE_MS = 20_000;
/** For an attack: one try, and perhaps a second. */
const ATTACK_MS = 2_000;
/** Node's own heap comes and goes by some ten MiB. */
const MAX_GROWTH = 96 * 1024 * 1024;

/** Those that HTTP/2 itself puts no end to. */
const ENDLESS: AttackName[] = [
  'floods with ALTSVC',
  'floods with RST_STREAM',
  'goes on after its own RST_STREAM',
  'opens its window byte by byte',
  'pushes without end',
  'says nothing',
];

/** @returns what an attack ended in: one failure, or null when the agent was not noticed */
async function suffer(agent: HostileAgent, answerMs: number): Promise<unknown> {
  let connection: GuestAgent | undefined;
  try {
    connection = await connectAgent(agent.path, { deadlineMs: ATTACK_MS, answerMs });
    await connection.configure({ hostname: 'web' });
    return null;
  } catch (error) {
    return error;
  } finally {
    connection?.close();
    await connection?.closed;
  }
}

/** @returns by how many bytes this process grew at most meanwhile */
async function growth(work: () => Promise<unknown>): Promise<number> {
  const before = process.memoryUsage().rss;
  let most = before;
  const timer = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 20);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return most - before;
}

/** Hung up, as both sides see it. */
async function assertHungUp(agent: HostileAgent): Promise<void> {
  await until('the agent has no connection', async () => (await agent.seen()).connected === 0);
}

describe('a hostile agent costs one failure', () => {
  for (const attack of Object.keys(ATTACKS) as AttackName[]) {
    test(`that ${attack}`, async () => {
      await using agent = await hostileAgent(attack);
      let error: unknown;
      const grown = await growth(async () => (error = await suffer(agent, 500)));
      assert.ok(error instanceof Failure, String(error));
      assert.equal(error.code, 'unavailable');
      assert.match(error.message, /^the guest’s agent[^\n]{0,400}$/);
      assert.ok(grown < MAX_GROWTH, `grew by ${grown} bytes`);
      await assertHungUp(agent);
    });
  }

  test('that sends without end but no echo: before the deadline', async () => {
    await using agent = await hostileAgent(NO_ECHO);
    let error: unknown;
    const grown = await growth(async () => (error = await suffer(agent, 500)));
    assert.ok(error instanceof Failure, String(error));
    assert.match(error.message, /sends without end but no answer$/);
    assert.ok(grown < MAX_GROWTH, `grew by ${grown} bytes`);
    await assertHungUp(agent);
  });
});

test('an agent that sends without end although nobody asked it is hung up on', async () => {
  await using agent = await hostileAgent('floods with ALTSVC');
  const session = await startSession(await openChannel(agent.path, { deadlineMs: DEADLINE_MS }));
  await session.closed;
  await assertHungUp(agent);
});

test('while many of them attack, another agent is spoken to', async () => {
  await using stack = new AsyncDisposableStack();
  const hostile = await Promise.all(ENDLESS.map((name) => hostileAgent(name)));
  for (const agent of hostile) stack.use(agent);
  const good = stack.use(await goodAgent());
  const connection = await connectAgent(good.path, { deadlineMs: DEADLINE_MS });
  let over = false;
  const attacked = Promise.all(hostile.map((agent) => suffer(agent, 1000)));
  void attacked.then(() => (over = true));
  let answers = 0;
  for (; !over; answers += 1) await connection.configure({ hostname: 'web' });
  connection.close();
  assert.ok(answers > 10, `${answers} answers`);
});
