import type { Logger } from 'pino';
import type { Report } from '../dns/resolver.ts';

const WINDOW_MS = 10_000;
/** More kinds of events than the gate has; a bound on what is remembered. */
const MAX_EVENTS = 64;

/**
 * Logs each kind of event at most once in ten seconds, with the number left
 * out since: a guest can cause events at will, and must not fill the disk.
 * @param now milliseconds, monotonic
 */
export function boundedReport(logger: Logger, now: () => number = () => performance.now()): Report {
  const last = new Map<string, { at: number; leftOut: number }>();
  return (event, details = {}) => {
    const known = last.get(event);
    if (known !== undefined && now() - known.at < WINDOW_MS) {
      known.leftOut++;
      return;
    }
    if (known === undefined && last.size >= MAX_EVENTS) return;
    last.set(event, { at: now(), leftOut: 0 });
    const leftOut = known?.leftOut ?? 0;
    logger.warn(leftOut === 0 ? details : { ...details, leftOut }, event);
  };
}
