import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkRate, rateText, readRate } from './bandwidth.ts';
import { PolicyError } from './error.ts';

test('a rate is read in the units of tc(8)', () => {
  const table: [text: string, bits: number | null][] = [
    ['50mbit', 50_000_000],
    ['50Mbit', 50_000_000],
    ['1gbit', 1_000_000_000],
    ['1.5mbit', 1_500_000],
    ['64000', 64_000],
    ['64000bit', 64_000],
    ['64kbit', 64_000],
    ['0.1tbit', 100_000_000_000],
    ['64kibit', 65_536],
    ['1mibit', 1_048_576],
    ['1gibit', 1_073_741_824],
    ['8000bps', 64_000],
    ['6mbps', 48_000_000],
    ['1gbps', 8_000_000_000],
    ['1mibps', 8_388_608],
    ['none', null],
  ];
  for (const [text, bits] of table) assert.equal(readRate(text), bits, text);
});

test('what is no rate, or none that can be set, is refused with how to write one', () => {
  for (const text of [
    '',
    'fast',
    '50mb',
    '50m',
    '-1mbit',
    '1e6bit',
    '50 mbit',
    '50%',
    'mbit',
    '1,5mbit',
    'None',
  ]) {
    assert.throws(
      () => readRate(text),
      (error) => error instanceof PolicyError && error.hint !== undefined,
      text,
    );
  }
  for (const text of ['0', '50', '0mbit', '63kbit', '101gbit', '1tbit', '999999999999999tbit']) {
    assert.throws(() => readRate(text), /is not a rate from 64kbit to 100gbit$/, text);
  }
  assert.throws(() => checkRate(NaN), PolicyError);
  assert.throws(() => checkRate(64_000.5), PolicyError);
});

test('a rate is written as short as it can be, and read back the same', () => {
  const table: [bits: number | null, text: string][] = [
    [50_000_000, '50mbit'],
    [1_000_000_000, '1gbit'],
    [1_500_000, '1500kbit'],
    [65_536, '65536bit'],
    [null, 'none'],
  ];
  for (const [bits, text] of table) {
    assert.equal(rateText(bits), text);
    assert.equal(readRate(text), bits);
  }
});
