/**
 * The one error type of vmsan. Modules throw a Failure where they know what
 * went wrong in the user's terms; anything else that is thrown is a bug or
 * the operating system's word, and reaches the user as an `internal` failure.
 */

/** What kind of failure it is. The CLI's exit code follows from it (`exitCodeOf`). */
export type FailureCode =
  /** The request itself is wrong: a flag, a name, a value. Nothing was changed. */
  | 'bad_input'
  /** What the request names does not exist. */
  | 'not_found'
  /** The request is right but the present state forbids it: name in use, VM running. */
  | 'conflict'
  /** A bounded resource is used up: slots, disk, memory. */
  | 'exhausted'
  /** Something vmsan needs is not there or does not answer: daemon, root, a tool. */
  | 'unavailable'
  /** A deadline passed. */
  | 'timeout'
  /** Everything else. */
  | 'internal';

export class Failure extends Error {
  override readonly name = 'Failure';
  readonly code: FailureCode;
  /** The next thing to type or change, without the word "hint". */
  readonly hint: string | undefined;

  constructor(
    code: FailureCode,
    message: string,
    options: { hint?: string; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }
}

/** The message of anything that was thrown, in one line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** True when `error` is a Node system error with one of `codes` (`ENOENT`, …). */
export function isErrno(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && codes.includes(String((error as NodeJS.ErrnoException).code));
}
