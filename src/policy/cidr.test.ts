import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCidr, parseCidrs, rangeOf } from './cidr.ts';
import { PolicyError } from './error.ts';

test('networks are canonical', () => {
  assert.deepEqual(['10.0.0.0/8', '192.0.2.7', '192.0.2.7/32', '0.0.0.0/0'].map(parseCidr), [
    '10.0.0.0/8',
    '192.0.2.7/32',
    '192.0.2.7/32',
    '0.0.0.0/0',
  ]);
});

test('what is no network is refused in one line', () => {
  const bad = ['', ' ', '10', '10.0.0/8', '10.0.0.0/', '10.0.0.0/33', '10.0.0.0/08', '10.0.0.0/-1'];
  const worse = ['010.0.0.0/8', '0x0a.0.0.0/8', '256.0.0.0/8', '10.0.0.0/8/8', 'lan', '::1', '*'];
  for (const text of [...bad, ...worse]) {
    assert.throws(
      () => parseCidr(text),
      (error) => error instanceof PolicyError && !error.message.includes('\n'),
      `"${text}" was accepted`,
    );
  }
});

test('host bits are an error that names the right network', () => {
  assert.throws(
    () => parseCidr('192.168.1.7/24'),
    (error) =>
      error instanceof PolicyError &&
      error.message === '"192.168.1.7/24" has bits set beyond its /24' &&
      error.hint === 'the network is 192.168.1.0/24, the address alone 192.168.1.7/32',
  );
});

test('lists take commas and may repeat; overlaps are merged', () => {
  assert.deepEqual(parseCidrs(['198.51.100.0/24, 10.1.0.0/16', '10.0.0.0/8,10.0.0.0/8']), [
    '10.0.0.0/8',
    '198.51.100.0/24',
  ]);
  assert.deepEqual(parseCidrs(['private', '10.20.0.0/16']), [
    '10.0.0.0/8',
    '100.64.0.0/10',
    '172.16.0.0/12',
    '192.168.0.0/16',
  ]);
  assert.throws(() => parseCidrs(['10.0.0.0/8,']), PolicyError);
  assert.throws(() => parseCidrs([Array(1001).fill('10.0.0.0/8').join(',')]), /1001 networks/);
});

test('a range is all of a network', () => {
  assert.deepEqual(rangeOf('255.255.255.0/24'), {
    cidr: '255.255.255.0/24',
    first: 0xffffff00,
    last: 0xffffffff,
  });
});
