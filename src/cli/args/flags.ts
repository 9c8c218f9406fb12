import { Option } from 'commander';
import { Failure } from '../../host/failure.ts';

/** A flag whose text becomes a domain value; its errors begin with the flag's name. */
export function valueFlag<T>(
  flags: string,
  description: string,
  parse: (text: string, before: T | undefined) => T,
): Option {
  const option = new Option(flags, description);
  return option.argParser<T>((text, before) => {
    try {
      return parse(text, before);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      throw new Failure(error.code, `${option.long}: ${error.message}`, {
        ...(error.hint === undefined ? {} : { hint: error.hint }),
      });
    }
  });
}

export function jsonFlag(what: string): Option {
  return new Option('--json', `print ${what} as JSON`);
}

/**
 * Flags that are part of the language but that nothing enforces yet. They are
 * known so that they can be refused: a rule that is accepted is enforced.
 */
export const LIST_FLAGS = ['--publish-port <ports>'] as const;

/** A flag of `LIST_FLAGS`, or another, that ends the command with `bad_input` when it is given. */
export function refusedFlag(flags: string): Option {
  const option = new Option(flags, 'refused');
  option.helpGroup('Not enforced yet, and so refused:');
  option.argParser(() => refuse(option));
  return option;
}

/** As `refusedFlag`, for one without a value: call `refuse` when it was given. */
export function refuse(option: Option): never {
  throw new Failure(
    'bad_input',
    `${option.long} is not enforced yet, so vmsan refuses it; nothing was changed`,
  );
}
