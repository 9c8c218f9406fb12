import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandFailed, run } from './run.ts';

test('a program’s output comes back', async () => {
  assert.deepEqual(await run(['cat'], { stdin: 'hello' }), { stdout: 'hello', stderr: '' });
});

test('a failure has argv, code and stderr', async () => {
  await assert.rejects(run(['sh', '-c', 'echo why >&2; exit 3']), (error) => {
    assert.ok(error instanceof CommandFailed);
    assert.equal(error.exitCode, 3);
    assert.equal(error.message, 'sh -c echo why >&2; exit 3 exited with 3: why');
    return true;
  });
});

test('a program that is not there, or not done in time, is a failure too', async () => {
  await assert.rejects(run(['/nonexistent']), /could not be started: spawn .* ENOENT/);
  await assert.rejects(run(['tail', '-f', '/dev/null'], { timeoutMs: 20 }), /was ended by SIGKILL/);
});
