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

/** A flag that is part of the language but that nothing enforces yet: what is accepted is enforced. */
export function refuse(option: Option): never {
  throw new Failure(
    'bad_input',
    `${option.long} is not enforced yet, so vmsan refuses it; nothing was changed`,
  );
}
