import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { Failure, type FailureCode } from '../host/failure.ts';
import { toConnectError, toFailure } from './errors.ts';
import { causesOf, exitCodeOf } from './failures.ts';

const EXITS: Record<FailureCode, number> = {
  bad_input: 2,
  not_found: 3,
  conflict: 1,
  exhausted: 1,
  unavailable: 1,
  timeout: 1,
  internal: 1,
};

test('a failure comes back as it went, with its causes', () => {
  for (const [code, exit] of Object.entries(EXITS) as [FailureCode, number][]) {
    const cause = new Error('nft refused it', { cause: new Error('line 3') });
    const sent = new Failure(code, 'the rules cannot be set', { hint: 'vmsan doctor', cause });
    const got = toFailure(toConnectError(sent));
    assert.equal(got.code, code);
    assert.equal(got.message, sent.message);
    assert.equal(got.hint, 'vmsan doctor');
    assert.deepEqual(causesOf(got), ['nft refused it', 'line 3']);
    assert.equal(exitCodeOf(got), exit);
  }
});

test('an error without details is judged by its Connect code', () => {
  assert.equal(toFailure(new ConnectError('no such VM', Code.NotFound)).code, 'not_found');
  assert.equal(toFailure(new ConnectError('odd', Code.DataLoss)).code, 'internal');
  assert.equal(toFailure(new ConnectError('odd', Code.DataLoss)).hint, undefined);
});

test('what a bug throws is an internal failure', () => {
  const got = toFailure(toConnectError(new TypeError('x is not a function')));
  assert.equal(got.code, 'internal');
  assert.equal(got.message, 'x is not a function');
});

test('a failure of dialling is not hidden by the transport', () => {
  const dialling = new Failure('unavailable', 'no daemon');
  assert.equal(toFailure(ConnectError.from(dialling)), dialling);
});
