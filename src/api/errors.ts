import { Code, ConnectError } from '@connectrpc/connect';
import { ErrorInfoSchema } from '../gen/vmsan/v1/vmsan_pb.js';
import { Failure, type FailureCode } from '../host/failure.ts';
import { asFailure, causesOf } from './failures.ts';

/**
 * A Failure travels as a Connect error: its code mapped by this table, code
 * and hint exactly in an ErrorInfo detail, its message as the first line of
 * the error's text and the messages of its causes as the lines after it.
 */
const CODES: Readonly<Record<FailureCode, Code>> = {
  bad_input: Code.InvalidArgument,
  not_found: Code.NotFound,
  conflict: Code.FailedPrecondition,
  exhausted: Code.ResourceExhausted,
  unavailable: Code.Unavailable,
  timeout: Code.DeadlineExceeded,
  internal: Code.Internal,
};

/** What a handler throws for anything that was thrown beneath it. */
export function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error;
  const failure = toFailure(error);
  const text = [failure.message, ...causesOf(failure)].join('\n');
  return new ConnectError(text, CODES[failure.code], undefined, [
    { desc: ErrorInfoSchema, value: { code: failure.code, hint: failure.hint ?? '' } },
  ]);
}

/** What a client was told, or met on the way, as the Failure it stands for. */
export function toFailure(error: unknown): Failure {
  if (!(error instanceof ConnectError)) return asFailure(error);
  // The transport wraps what our own dialling threw.
  if (error.cause instanceof Failure) return error.cause;
  const [headline = '', ...causes] = error.rawMessage.split('\n');
  const info = error.findDetails(ErrorInfoSchema)[0];
  const cause = causes.reduceRight<Error | undefined>(
    (inner, message) => new Error(message, inner === undefined ? {} : { cause: inner }),
    undefined,
  );
  return new Failure(codeOf(info?.code, error.code), headline, {
    cause,
    ...(info !== undefined && info.hint !== '' ? { hint: info.hint } : {}),
  });
}

function codeOf(told: string | undefined, code: Code): FailureCode {
  for (const [ours, theirs] of Object.entries(CODES) as [FailureCode, Code][]) {
    if (told === undefined ? theirs === code : told === ours) return ours;
  }
  return 'internal';
}
