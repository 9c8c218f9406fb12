import { Failure } from '../host/failure.ts';

/** One thing an operation does, and how it is taken back. */
export interface Step {
  /** What starts now, as a phrase for the user: "boot the guest". */
  name: string;
  do(): void | Promise<void>;
  /** Takes back what `do` did, wholly or in part: it also runs when `do` itself failed. */
  undo?(): void | Promise<void>;
  /**
   * It changes what the record says. A teardown does it only when all before
   * it went well, and nothing after it when it did not.
   */
  ofRecord?: true;
}

/**
 * Does `steps` in order. When one fails, it and those before it are undone in
 * reverse, and the failure is thrown with the errors of the undoing attached.
 */
export async function runSteps(
  steps: readonly Step[],
  onStep: (name: string) => void = () => {},
): Promise<void> {
  for (const [index, step] of steps.entries()) {
    onStep(step.name);
    try {
      await step.do();
    } catch (error) {
      const undone = await tryEach(
        steps
          .slice(0, index + 1)
          .toReversed()
          .map((earlier) => () => earlier.undo?.()),
      );
      if (undone.length === 0) throw error;
      throw new Failure('internal', `could not ${step.name}, nor undo all that came before it`, {
        cause: new AggregateError([error, ...undone]),
      });
    }
  }
}

/**
 * Does every step whatever becomes of the others, but for those that are about
 * the record. @throws Failure with all that went wrong
 */
export async function runTeardown(what: string, steps: readonly Step[]): Promise<void> {
  const errors: unknown[] = [];
  for (const step of steps) {
    if (step.ofRecord && errors.length > 0) break;
    const failed = await tryEach([() => step.do()]);
    errors.push(...failed);
    if (step.ofRecord && failed.length > 0) break;
  }
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1) {
    throw new Failure('internal', `could not ${what} completely`, {
      cause: new AggregateError(errors),
    });
  }
}

async function tryEach(
  actions: readonly (() => void | Promise<void> | undefined)[],
): Promise<unknown[]> {
  const errors: unknown[] = [];
  for (const action of actions) {
    try {
      await action();
    } catch (error) {
      errors.push(error);
    }
  }
  return errors;
}
