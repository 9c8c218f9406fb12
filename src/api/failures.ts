import { Failure, messageOf } from '../host/failure.ts';

/** Anything that was thrown, as the Failure it stands for: a stranger is `internal`. */
export function asFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  return new Failure('internal', messageOf(error), { cause: causeOf(error) });
}

/** The messages of what caused `error`, outermost first, without repeats of the one before. */
export function causesOf(error: Error): string[] {
  const messages: string[] = [];
  let last = error.message;
  for (let cause = error.cause; cause !== undefined; cause = causeOf(cause)) {
    const message = messageOf(cause);
    if (message !== last && message !== '') messages.push(message);
    last = message;
  }
  return messages.slice(0, 8);
}

/** The CLI's exit code for a failure: 2 bad input, 3 not found, 1 anything else. */
export function exitCodeOf(failure: Failure): 1 | 2 | 3 {
  switch (failure.code) {
    case 'bad_input':
      return 2;
    case 'not_found':
      return 3;
    case 'conflict':
    case 'exhausted':
    case 'unavailable':
    case 'timeout':
    case 'internal':
      return 1;
  }
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}
