import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpio, type CpioEntry } from './cpio.ts';

/** Reads an archive as the kernel does (init/initramfs.c). */
function read(archive: Buffer): CpioEntry[] {
  const entries: CpioEntry[] = [];
  for (let at = 0; ;) {
    assert.equal(at % 4, 0);
    assert.equal(archive.toString('latin1', at, at + 6), '070701');
    const number = (index: number) =>
      Number.parseInt(archive.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16);
    const [mode, size, nameSize] = [number(1), number(6), number(11)];
    const name = archive.toString('latin1', at + 110, at + 109 + nameSize);
    if (name === 'TRAILER!!!') return entries;
    const start = (at + 110 + nameSize + 3) & ~3;
    const content = archive.subarray(start, start + size);
    const isDirectory = (mode & 0o170000) === 0o040000;
    entries.push({ name, mode: mode & 0o7777, ...(isDirectory ? {} : { content }) });
    at = (start + size + 3) & ~3;
  }
}

test('names, modes and contents of any length come back', () => {
  const entries = [
    { name: 'modules', mode: 0o755 },
    ...[0, 1, 2, 3, 4, 5].map((length) => ({
      name: `modules/${'x'.repeat(length)}.ko`,
      mode: 0o644,
      content: Buffer.alloc(length, length),
    })),
    { name: 'init', mode: 0o755, content: Buffer.from('#!') },
  ];
  assert.deepEqual(read(cpio(entries)), entries);
});

test('equal entries give equal bytes', () => {
  const entries = [{ name: 'init', mode: 0o755, content: Buffer.from('agent') }];
  assert.deepEqual(cpio(entries), cpio(entries));
});
