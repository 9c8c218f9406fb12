import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatPolicy, parsePolicy, POLICY_BASES, PolicyError } from './policy.ts';

test('every base is read and written back', () => {
  for (const base of POLICY_BASES) assert.equal(formatPolicy(parsePolicy(base)), base);
});

test('custom is refused because nothing enforces its lists', () => {
  assert.throws(
    () => parsePolicy('custom'),
    (error) => error instanceof PolicyError && /not enforced yet/.test(error.message),
  );
});

test('anything else is refused in a line that names it and the valid ones', () => {
  for (const text of ['', 'allow', 'Deny-All', 'deny-all ', 'none', 'allow-all,deny-all']) {
    assert.throws(
      () => parsePolicy(text),
      (error) =>
        error instanceof PolicyError &&
        !error.message.includes('\n') &&
        error.message.includes(text) &&
        error.hint === 'use allow-all or deny-all',
    );
  }
});
