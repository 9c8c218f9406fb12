import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSteps, runTeardown, type Step } from './steps.ts';

function recording(log: string[], name: string, options: { fails?: 'do' | 'undo' } = {}): Step {
  return {
    name,
    do() {
      log.push(`do ${name}`);
      if (options.fails === 'do') throw new Error(`${name} failed`);
    },
    undo() {
      log.push(`undo ${name}`);
      if (options.fails === 'undo') throw new Error(`${name} cannot be undone`);
    },
  };
}

test('steps are done in order and told of', async () => {
  const log: string[] = [];
  const told: string[] = [];
  await runSteps('create', [recording(log, 'a'), recording(log, 'b')], (name) => told.push(name));
  assert.deepEqual(log, ['do a', 'do b']);
  assert.deepEqual(told, ['a', 'b']);
});

test('a failure undoes that step and those before it, in reverse', async () => {
  const log: string[] = [];
  const steps = [recording(log, 'a'), recording(log, 'b', { fails: 'do' }), recording(log, 'c')];
  await assert.rejects(runSteps('create', steps), /^Error: b failed$/);
  assert.deepEqual(log, ['do a', 'do b', 'undo b', 'undo a']);
});

test('what could not be undone is told with the failure, and the rest is undone all the same', async () => {
  const log: string[] = [];
  const steps = [
    recording(log, 'a'),
    recording(log, 'b', { fails: 'undo' }),
    recording(log, 'c', { fails: 'do' }),
  ];
  await assert.rejects(runSteps('create', steps), (error: Error) => {
    const { errors } = error.cause as AggregateError;
    assert.deepEqual(errors.map(String), ['Error: c failed', 'Error: b cannot be undone']);
    return true;
  });
  assert.deepEqual(log.slice(3), ['undo c', 'undo b', 'undo a']);
});

test('a teardown tries every step', async () => {
  const log: string[] = [];
  const steps = [recording(log, 'a', { fails: 'do' }), recording(log, 'b')];
  await assert.rejects(runTeardown('clean up', 'web', steps), /a failed/);
  assert.deepEqual(log, ['do a', 'do b']);
});

test('a teardown changes the record only when all before went well', async () => {
  const log: string[] = [];
  const recorded = (name: string, options = {}): Step => ({
    ...recording(log, name, options),
    ofRecord: true,
  });
  const fails = { fails: 'do' } as const;
  await assert.rejects(
    runTeardown('stop', 'web', [recording(log, 'a', fails), recording(log, 'b'), recorded('c')]),
    /a failed/,
  );
  assert.deepEqual(log.splice(0), ['do a', 'do b']);
  await assert.rejects(
    runTeardown('stop', 'web', [recorded('a', fails), recording(log, 'b')]),
    /a failed/,
  );
  assert.deepEqual(log, ['do a']);
});
