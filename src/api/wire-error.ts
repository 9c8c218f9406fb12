import { Code, ConnectError } from '@connectrpc/connect';
import { errorFromJson } from '@connectrpc/connect/protocol-connect';
import type { JsonValue } from '@bufbuild/protobuf';
import type { Failure } from '../host/failure.ts';
import { toFailure } from './errors.ts';

/** A Connect error as a client receives it, `{"code", "message", "details"}`, as the Failure it was. */
export function failureFromJson(error: unknown): Failure {
  const fallback = new ConnectError('the daemon gave an error that cannot be read', Code.Internal);
  try {
    return toFailure(errorFromJson(error as JsonValue, undefined, fallback));
  } catch {
    return toFailure(fallback);
  }
}
