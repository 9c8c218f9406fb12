import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { withoutServices } from './no-services.ts';

function place(t: TestContext, text?: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'vmsan-policy-'));
  t.after(() => {
    rmSync(folder, { recursive: true });
  });
  const policy = join(folder, 'policy-rc.d');
  if (text !== undefined) writeFileSync(policy, text, { mode: 0o755 });
  return policy;
}

test('a policy against services is there while packages are installed, and gone after', async (t) => {
  const policy = place(t);
  const during = await withoutServices(() => Promise.resolve(spawnSync(policy).status), {
    path: policy,
  });
  assert.equal(during, 101);
  assert.deepEqual(readdirSync(join(policy, '..')), []);
});

test('it is gone after a failure too', async (t) => {
  const policy = place(t);
  const fails = withoutServices(() => Promise.reject(new Error('no network')), { path: policy });
  await assert.rejects(fails, /no network/);
  assert.equal(existsSync(policy), false);
});

test("somebody else's policy stays as it is", async (t) => {
  const policy = place(t, '#!/bin/sh\nexit 0\n');
  const during = await withoutServices(() => Promise.resolve(readFileSync(policy, 'utf8')), {
    path: policy,
  });
  assert.equal(during, '#!/bin/sh\nexit 0\n');
  assert.equal(readFileSync(policy, 'utf8'), during);
});

test('what a killed bootstrap left is replaced; a living one is waited for', async (t) => {
  const ended = spawnSync('true').pid;
  const stale = place(t, `#!/bin/sh\n# vmsan bootstrap, pid ${ended}\nexit 101\n`);
  await withoutServices(() => Promise.resolve(), { path: stale });
  assert.equal(existsSync(stale), false);

  const inUse = place(t, `#!/bin/sh\n# vmsan bootstrap, pid ${process.ppid}\nexit 101\n`);
  const late = withoutServices(() => Promise.resolve(), { path: inUse, deadlineMs: 1 });
  await assert.rejects(late, /another bootstrap still installs packages/);
  assert.equal(existsSync(inUse), true);
});
