import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Decisions, decidedOf } from './decisions.ts';

const DECIDED = { kind: 'tls', what: 'a.example', verdict: 'allow', rule: '', reason: '' } as const;

async function firstOf(decisions: Decisions) {
  const watcher = decisions.watch(AbortSignal.timeout(5000))[Symbol.asyncIterator]();
  const { value } = (await watcher.next()) as {
    value: { decisions?: unknown[]; leftOut?: Record<string, bigint> };
  };
  return { batch: value, watcher };
}

test('a watcher gets what was decided, lately too', async () => {
  const decisions = new Decisions();
  const query = { name: 'www.example', type: 16 };
  const outcome = { query, verdict: 'deny', rule: '', reason: 'vmsan: no rule allows it' } as const;
  decisions.record('vm-1', decidedOf(outcome));
  const { batch, watcher } = await firstOf(decisions);
  const [decision] = batch.decisions as Record<string, unknown>[];
  assert.deepEqual(
    [decision?.['vmId'], decision?.['kind'], decision?.['what'], decision?.['reason']],
    ['vm-1', 'dns', 'www.example TXT', 'no rule allows it'],
  );
  decisions.record('vm-2', DECIDED);
  const next = (await watcher.next()).value;
  assert.equal(next?.decisions?.[0]?.vmId, 'vm-2');
});

test('a VM that asks too much is counted only, and does not silence another', async () => {
  let now = 0;
  const decisions = new Decisions(() => now);
  for (let i = 0; i < 1000; i++) decisions.record('vm-1', DECIDED);
  decisions.record('vm-2', DECIDED);
  now = 1000;
  for (let i = 0; i < 100; i++) decisions.record('vm-1', DECIDED);
  const { batch } = await firstOf(decisions);
  assert.equal(batch.decisions?.length, 500 + 1 + 50);
  assert.deepEqual(batch.leftOut, { 'vm-1': 500n + 50n });
});

test('what nobody watches is bounded, in its texts too', async () => {
  const decisions = new Decisions();
  for (let i = 0; i < 5000; i++) {
    decisions.record(`vm-${i}`, { ...DECIDED, what: 'x'.repeat(2000), reason: 'y'.repeat(2000) });
  }
  const { batch } = await firstOf(decisions);
  assert.equal(batch.decisions?.length, 4096);
  const [first] = batch.decisions as { what: string; reason: string }[];
  assert.deepEqual([first?.what.length, first?.reason.length], [300, 300]);
});
