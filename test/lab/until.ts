import { setTimeout as pause } from 'node:timers/promises';
import { inspect } from 'node:util';

export interface UntilOptions {
  /** Milliseconds to wait at most. Default 20 000: a busy machine is no failure. */
  deadlineMs?: number;
}

/**
 * Waits for a condition: the one place in tests where time may pass. Asks
 * `condition` again and again until it gives a truthy value. One that throws
 * is not there yet.
 * @param what the condition in words, for the failure's message: "the VM is running"
 * @returns the truthy value
 * @throws Error that names the condition and the last value or error seen
 */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  options: UntilOptions = {},
): Promise<NonNullable<T>> {
  const deadlineMs = options.deadlineMs ?? 20_000;
  const end = performance.now() + deadlineMs;
  let waitMs = 2;
  for (;;) {
    let last: string;
    let cause: unknown;
    try {
      const value = await condition();
      if (value) return value;
      last = inspect(value, { breakLength: Infinity });
    } catch (error) {
      cause = error;
      last = error instanceof Error ? error.message : String(error);
    }
    if (performance.now() + waitMs > end) {
      throw new Error(`not so after ${deadlineMs} ms: ${what} (last seen: ${last})`, { cause });
    }
    await pause(waitMs);
    waitMs = Math.min(waitMs * 1.5, 100);
  }
}
