import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VM_HEADER } from '../api/handshake.ts';
import { connectAgent, type GuestAgent } from '../guest/agent.ts';
import { goodAgent } from '../guest/testing/good-agent.ts';
import { Failure } from '../host/failure.ts';
import type { Context } from './context.ts';
import { execTarget } from './exec-forward.ts';

const HEADERS = new Headers({ [VM_HEADER]: 'web' });

/** As much of a daemon as an Exec asks, with one VM. */
function daemonWith(agent: Promise<GuestAgent>): Context {
  agent.catch(() => {});
  const vm = { id: 'vm-00000001', name: 'web', state: 'running' };
  const live = new Map([[vm.id, { agent, machine: { stall: null } }]]);
  return { store: { vms: () => [vm] }, live } as unknown as Context;
}

async function refusal(context: Context): Promise<Failure> {
  try {
    await execTarget(context, HEADERS);
  } catch (error) {
    assert.ok(error instanceof Failure);
    return error;
  }
  throw new Error('it was not refused');
}

test('an agent that the daemon does not understand is refused by name, with the remedy', async () => {
  await using other = await goodAgent({ describe: () => ({ protocol: 9, version: '9.1.0' }) });
  const error = await refusal(daemonWith(connectAgent(other.path, { deadlineMs: 20_000 })));
  assert.equal(
    error.message,
    'web: the guest’s agent is of vmsan 9.1.0 and speaks protocol 9, this daemon 1',
  );
  assert.match(error.hint ?? '', /^vmsan stop web && vmsan start web/);
});

test('an agent that does not answer: why, and what to do', async () => {
  const error = await refusal(
    daemonWith(Promise.reject(new Failure('timeout', 'no answer to the hello'))),
  );
  assert.equal(error.code, 'unavailable');
  assert.equal(error.message, 'the agent of web does not answer');
  assert.match(String(error.cause), /no answer to the hello/);
  assert.equal(error.hint, 'vmsan stop web');
});
