import { Failure } from '../host/failure.ts';
import { mayCrash } from './test-crash.ts';

/**
 * What is made of steps. `clean up`: after an end that nobody asked for;
 * `mend`: after a daemon that died, by the next one.
 */
export type Operation = 'create' | 'start' | 'stop' | 'remove' | 'network' | 'clean up' | 'mend';

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
  operation: Operation,
  steps: readonly Step[],
  onStep: (name: string) => void = () => {},
): Promise<void> {
  for (const [index, step] of steps.entries()) {
    onStep(step.name);
    mayCrash(operation, index);
    try {
      await step.do();
    } catch (error) {
      const undone = await undo(operation, steps.slice(0, index + 1));
      if (undone.length === 0) throw error;
      throw new Failure('internal', `could not ${step.name}, nor undo all that came before it`, {
        cause: new AggregateError([error, ...undone]),
      });
    }
  }
  mayCrash(operation, steps.length);
}

/**
 * Does every step whatever becomes of the others, but for those that are about
 * the record.
 * @param name the VM's
 * @throws Failure with all that went wrong
 */
export async function runTeardown(
  operation: Operation,
  name: string,
  steps: readonly Step[],
): Promise<void> {
  const errors: unknown[] = [];
  for (const [index, step] of steps.entries()) {
    mayCrash(operation, index);
    if (step.ofRecord && errors.length > 0) break;
    const before = errors.length;
    await attempt(() => step.do(), errors);
    if (step.ofRecord && errors.length > before) break;
  }
  mayCrash(operation, steps.length);
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1) {
    throw new Failure('internal', `could not ${operation} ${name} completely`, {
      cause: new AggregateError(errors),
    });
  }
}

/** Undoes `done` in reverse, whatever becomes of each. @returns what went wrong */
async function undo(operation: Operation, done: readonly Step[]): Promise<unknown[]> {
  const errors: unknown[] = [];
  for (const [index, step] of done.toReversed().entries()) {
    mayCrash(`undo ${operation}`, index);
    await attempt(() => step.undo?.(), errors);
  }
  mayCrash(`undo ${operation}`, done.length);
  return errors;
}

async function attempt(
  action: () => void | Promise<void> | undefined,
  errors: unknown[],
): Promise<void> {
  try {
    await action();
  } catch (error) {
    errors.push(error);
  }
}
