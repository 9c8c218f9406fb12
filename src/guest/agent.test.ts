import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Failure } from '../host/failure.ts';
import { connectAgent } from './agent.ts';
import { goodAgent } from './testing/good-agent.ts';

const DEADLINE_MS = 20_000;

describe('an agent of another vmsan', () => {
  test('that is from before it could say so works', async () => {
    await using old = await goodAgent({ configure: () => ({ agentVersion: '0.1.0' }) });
    const agent = await connectAgent(old.path, { deadlineMs: DEADLINE_MS });
    await agent.configure({ hostname: 'web' });
    agent.close();
  });

  test('that speaks the same protocol works, whatever its version', async () => {
    const describe = () => ({ protocol: 1, version: '7.0.0' });
    await using other = await goodAgent({ describe, configure: () => ({}) });
    const agent = await connectAgent(other.path, { deadlineMs: DEADLINE_MS });
    await agent.configure({ hostname: 'web' });
    agent.close();
  });

  for (const protocol of [0, 2]) {
    test(`that speaks protocol ${protocol} is refused in one line that names both`, async () => {
      const version = `7.0.0${'x'.repeat(5000)}`;
      await using other = await goodAgent({ describe: () => ({ protocol, version }) });
      await assert.rejects(connectAgent(other.path, { deadlineMs: DEADLINE_MS }), (error) => {
        assert.ok(error instanceof Failure);
        assert.equal(error.code, 'conflict');
        const line =
          /^the guest’s agent is of vmsan 7\.0\.0x* and speaks protocol (\d), this daemon 1$/;
        assert.equal(line.exec(error.message)?.[1], String(protocol));
        assert.ok(error.message.length < 150);
        return true;
      });
    });
  }
});
