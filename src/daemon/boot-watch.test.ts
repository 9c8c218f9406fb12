import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tellingLines } from './boot-watch.ts';

test('of a panic the agent’s last words and the panic’s are quoted, not the registers', () => {
  const registers = Array.from({ length: 30 }, (_, n) => `[    3.6] R${n}: 0000380eae735e38\r\n`);
  const console =
    'vmsan-agent: mount ext4 on /disk: invalid argument\r\n' +
    '[    3.6] Kernel panic - not syncing: Attempted to kill init!\r\n' +
    registers.join('');
  assert.deepEqual(tellingLines(console), [
    'vmsan-agent: mount ext4 on /disk: invalid argument',
    '[    3.6] Kernel panic - not syncing: Attempted to kill init!',
  ]);
});

test('of anything else the end is', () => {
  const lines = Array.from({ length: 20 }, (_, n) => `line ${n}`);
  assert.deepEqual(tellingLines(lines.join('\n')), lines.slice(-8));
  assert.deepEqual(tellingLines(''), ['']);
});
