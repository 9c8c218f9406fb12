import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changeReader } from './nft-watch.ts';

/** A message of nf_tables' with these attributes (linux/netlink.h). */
function message(type: number, ...attributes: [type: number, value: Buffer][]): Buffer {
  const body = attributes.map(([kind, value]) => {
    const head = Buffer.alloc(4);
    head.writeUInt16LE(4 + value.length, 0);
    head.writeUInt16LE(kind, 2);
    return Buffer.concat([head, value, Buffer.alloc(-value.length & 3)]);
  });
  const bytes = Buffer.concat([Buffer.alloc(20), ...body]);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt16LE((10 << 8) | type, 4);
  return bytes;
}

const table = (type: number, name: string) => message(type, [1, Buffer.from(`${name}\0`)]);
const generation = message(15, [1, Buffer.from([0, 0, 0, 9])], [2, Buffer.from([0, 0, 14, 205])]);

test('a transaction is told when its last message has come', () => {
  const read = changeReader();
  assert.deepEqual(read(table(2, 'vmsan')), []);
  assert.deepEqual(read(Buffer.concat([table(8, 'vmsan-vm-00000001'), generation])), [
    { tables: new Set(['vmsan', 'vmsan-vm-00000001']), process: 3789 },
  ]);
  assert.deepEqual(read(generation), [{ tables: new Set(), process: 3789 }]);
});

test('what is cut off is left', () => {
  assert.deepEqual(changeReader()(generation.subarray(0, 30)), []);
  assert.deepEqual(changeReader()(Buffer.alloc(19)), []);
});
