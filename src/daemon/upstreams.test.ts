import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { upstreamsOf } from './upstreams.ts';

test('the settings win over the host, and IPv6 resolvers are left out', () => {
  const directory = mkdtempSync(join(tmpdir(), 'vmsan-resolv-'));
  try {
    const file = join(directory, 'resolv.conf');
    writeFileSync(file, '# mine\nsearch lan\nnameserver 192.0.2.53\nnameserver fd00::1\n');
    assert.deepEqual(upstreamsOf([], file), [{ address: '192.0.2.53', port: 53 }]);
    assert.deepEqual(upstreamsOf(['192.0.2.1'], file), [{ address: '192.0.2.1', port: 53 }]);
    assert.deepEqual(upstreamsOf([], join(directory, 'none')), []);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
