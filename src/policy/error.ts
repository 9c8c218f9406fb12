/** A text that is no policy, or no part of one: a line that says so, and what to write instead. */
export class PolicyError extends Error {
  override readonly name = 'PolicyError';
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}
