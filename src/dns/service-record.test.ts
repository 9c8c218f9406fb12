import { test } from 'node:test';
import assert from 'node:assert/strict';
import { strippedServiceData } from './service-record.ts';

/** The data of an HTTPS record. @param parameters as [key, value in hex] */
function data(
  priority: number,
  parameters: [number, string][],
  target = Buffer.from('\x03svc\x07example\0', 'latin1'),
): Buffer {
  const u16 = (value: number) => Buffer.from([value >> 8, value & 0xff]);
  const bytes = parameters.map(([key, hex]) => {
    const value = Buffer.from(hex, 'hex');
    return Buffer.concat([u16(key), u16(value.length), value]);
  });
  return Buffer.concat([u16(priority), target, ...bytes]);
}

const ALPN: [number, string] = [1, '026832'];
const PORT: [number, string] = [3, '01bb'];
const V4: [number, string] = [4, 'c0000201'];
const ECH: [number, string] = [5, 'fe0d0000'];
const V6: [number, string] = [6, '20010db8000000000000000000000001'];

test('ech, addresses and unknown parameters go, the rest stays', () => {
  const all = data(1, [ALPN, PORT, V4, ECH, V6, [7, '2f'], [65280, '00']]);
  assert.deepEqual(strippedServiceData(all), data(1, [ALPN, PORT]));
  assert.deepEqual(strippedServiceData(data(1, [])), data(1, []));
});

test('an alias keeps its target only', () => {
  assert.deepEqual(strippedServiceData(data(0, [ALPN, ECH])), data(0, []));
});

test('a record that must not be used without what is stripped goes whole', () => {
  assert.equal(strippedServiceData(data(1, [[0, '0005'], ALPN, ECH])), null);
  const kept = data(1, [[0, '0001'], ALPN]);
  assert.deepEqual(strippedServiceData(kept), kept);
});

test('malformed data is none', () => {
  for (const [what, bytes] of [
    ['nothing', Buffer.alloc(0)],
    ['no target', Buffer.from([0, 1])],
    ['a pointer as target', data(1, [ALPN], Buffer.from([0xc0, 0x0c]))],
    ['a pointer into itself', data(1, [], Buffer.from([0xc0, 0x00]))],
    ['keys out of order', data(1, [PORT, ALPN])],
    ['a key twice', data(1, [ALPN, ALPN])],
    ['a length past the end', data(1, [ALPN]).subarray(0, -1)],
    ['half a head', Buffer.concat([data(1, [ALPN]), Buffer.from([0, 3, 0])])],
    ['mandatory itself', data(1, [[0, '0000']])],
    ['mandatory, not there', data(1, [[0, '0003'], ALPN])],
    ['mandatory, half a key', data(1, [[0, '000100'], ALPN])],
    ['mandatory, none', data(1, [[0, ''], ALPN])],
  ] as const) {
    assert.equal(strippedServiceData(bytes), null, what);
  }
});

test('any bytes give a value or null', () => {
  const whole = data(1, [[0, '0001'], ALPN, PORT, V4, ECH, V6]);
  for (let i = 0; i < whole.length; i++) {
    strippedServiceData(whole.subarray(0, i));
    for (const value of [0, 0x3f, 0x40, 0xc0, 0xff]) {
      const bytes = Buffer.from(whole);
      bytes[i] = value;
      const read = strippedServiceData(bytes);
      if (read !== null) assert.deepEqual(strippedServiceData(read), read);
    }
  }
});
