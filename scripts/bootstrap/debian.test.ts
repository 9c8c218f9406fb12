import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { requireDebian } from './debian.ts';

function osRelease(t: TestContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'vmsan-os-'));
  t.after(() => {
    rmSync(folder, { recursive: true });
  });
  const path = join(folder, 'os-release');
  writeFileSync(path, text);
  return path;
}

test('Debian 12 and later will do, and its testing, which has no version', (t) => {
  requireDebian(osRelease(t, 'ID=debian\nVERSION_ID="12"\n'));
  requireDebian(osRelease(t, 'ID="debian"\nVERSION_ID="13"\n'));
  requireDebian(osRelease(t, 'PRETTY_NAME="Debian GNU/Linux forky/sid"\nID=debian\n'));
});

test('another distribution, or an older Debian, is named in the refusal', (t) => {
  const ubuntu = osRelease(t, 'PRETTY_NAME="Ubuntu 24.04 LTS"\nID=ubuntu\nID_LIKE=debian\n');
  assert.throws(() => requireDebian(ubuntu), /^Failure: this is Ubuntu 24\.04 LTS; vmsan needs/);
  const old = osRelease(t, 'PRETTY_NAME="Debian GNU/Linux 11"\nID=debian\nVERSION_ID="11"\n');
  assert.throws(() => requireDebian(old), /this is Debian GNU\/Linux 11; vmsan needs Debian 12/);
  assert.throws(() => requireDebian('/nowhere/os-release'), /this is another system/);
});
