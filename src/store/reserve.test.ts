import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Reserve } from './reserve.ts';

test('room is laid aside once, given once, and laid aside again', () => {
  const directory = mkdtempSync(join(tmpdir(), 'vmsan-reserve-'));
  try {
    const reserve = new Reserve(directory);
    reserve.keep();
    const { ino, size, blocks } = statSync(join(directory, 'reserve'));
    assert.ok(blocks * 512 >= size, 'it takes up what it says');
    reserve.keep();
    assert.equal(statSync(join(directory, 'reserve')).ino, ino);
    assert.ok(reserve.release());
    assert.ok(!reserve.release());
    assert.ok(!existsSync(join(directory, 'reserve')));
    reserve.keep();
    assert.ok(existsSync(join(directory, 'reserve')));
  } finally {
    rmSync(directory, { recursive: true });
  }
});
