import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../host/failure.ts';
import {
  checkDisk,
  parseBase,
  parseDisk,
  parseMemory,
  parseName,
  parseNetworks,
  parseVcpus,
  policyOf,
} from './values.ts';

const GIB = 1024n ** 3n;

function refuses(parse: (text: string) => unknown, texts: string[]): void {
  for (const text of texts) {
    assert.throws(
      () => parse(text),
      (error) =>
        error instanceof Failure && error.code === 'bad_input' && !error.message.includes('\n'),
      `"${text}" was accepted`,
    );
  }
}

test('memory is MiB, with a unit or without', () => {
  const read = ['512', '512m', '512M', '512MB', '512MiB', '1g', '1GiB', '1.5g', ' 256m '];
  assert.deepEqual(read.map(parseMemory), [512, 512, 512, 512, 512, 1024, 1024, 1536, 256]);
  refuses(parseMemory, [
    '',
    '0',
    '127',
    '1k',
    '512b',
    '-512',
    '1.3m',
    '2t',
    '1e3',
    '512 m',
    'lots',
  ]);
});

test('a disk is bytes and needs a unit', () => {
  assert.equal(parseDisk('10g'), 10n * GIB);
  assert.equal(parseDisk('64m'), GIB / 16n);
  assert.equal(parseDisk('1TiB'), 1024n * GIB);
  refuses(parseDisk, ['', '10', '63m', '17t', '10kb', '0g', '99999999999g', '1..5g']);
  assert.throws(() => checkDisk(1n), Failure);
});

test('vCPUs are a whole number from 1 to 32', () => {
  assert.deepEqual(['1', '2', '32'].map(parseVcpus), [1, 2, 32]);
  refuses(parseVcpus, ['', '0', '33', '1.5', '-1', ' 2', 'two', '0x2', '1e1']);
});

test('a name is a DNS label that no id can be', () => {
  for (const name of ['web', 'a', '9', 'vm-web', 'a-b-c', 'x'.repeat(63), 'vm-123456789']) {
    assert.equal(parseName(name), name);
  }
  const bad = ['', 'Web', '-a', 'a-', 'a.b', 'a_b', 'a b', 'é', 'web\t', '../x', 'x'.repeat(64)];
  refuses(parseName, [...bad, 'vm-12345678', 'vm-a']);
});

test('a policy that is none is bad input with the valid ones as hint', () => {
  assert.equal(policyOf({ base: 'deny-all' }).policy.base, 'deny-all');
  refuses(parseBase, ['open', '', 'Custom']);
  refuses((base) => policyOf({ base }), ['custom']);
});

test('networks of one flag are added to those of the one before', () => {
  assert.deepEqual(parseNetworks('10.0.0.0/8,192.0.2.7', ['198.51.100.0/24']), [
    '198.51.100.0/24',
    '10.0.0.0/8',
    '192.0.2.7/32',
  ]);
  refuses(parseNetworks, ['', '10.0.0.0/8,', '10.1.0.0/8', 'lan', '::/0', '10.0.0.0/33']);
});
