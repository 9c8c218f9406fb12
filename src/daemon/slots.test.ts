import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../host/failure.ts';
import { freeSlot } from './slots.ts';

const POOLS = { subnetPool: '172.16.0.0/22', transitPool: '10.200.0.0/16' };

test('the lowest free slot is taken', () => {
  assert.equal(freeSlot(POOLS, new Set(), []), 0);
  assert.equal(freeSlot(POOLS, new Set([0, 2]), []), 1);
});

test('a network that a route of the host covers is skipped', () => {
  assert.equal(freeSlot(POOLS, new Set(), ['172.16.0.0/23']), 2);
  assert.equal(freeSlot(POOLS, new Set(), ['172.16.0.2/32', '10.0.0.0/8']), 1);
});

test('a full pool is said so', () => {
  assert.throws(
    () => freeSlot(POOLS, new Set([0, 1, 2, 3]), []),
    (error) => error instanceof Failure && error.code === 'exhausted',
  );
});
