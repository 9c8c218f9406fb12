import type { Evidence } from './evidence.ts';

/** What an audit tries, and what it says of it. */

/**
 * - `held`: it was tried, and did not get through
 * - `escaped`: it got through, or past the first of the walls that should each hold it
 * - `open`: by nature; nothing could close it, and it is not tried
 * - `allowed`: the policy says so; it is not tried
 * - `not judged`: it could not be tried here, or nobody saw what became of it
 */
export type Verdict = 'held' | 'escaped' | 'open' | 'allowed' | 'not judged';

export interface Finding {
  verdict: Verdict;
  /** One sentence without its full stop. */
  detail: string;
}

/** One packet, query or conversation of an attempt. */
export interface Trial {
  /** "UDP 203.0.113.20:7" */
  what: string;
  judge(evidence: Evidence): Finding;
}

/** One line of an audit. */
export interface Attempt {
  /** "spoofed source": what a guest tries. */
  name: string;
  /** Why it should end as it does. */
  expected: string;
  trials: readonly Trial[];
}

export interface Judged extends Finding {
  name: string;
  expected: string;
}

/** The worst first: one trial that escaped is an attempt that did. */
const SEVERITY: readonly Verdict[] = ['escaped', 'not judged', 'held', 'open', 'allowed'];

export function judge({ name, expected, trials }: Attempt, evidence: Evidence): Judged {
  const found = trials.map((trial) => ({ what: trial.what, ...trial.judge(evidence) }));
  const verdict =
    SEVERITY.find((each) => found.some((one) => one.verdict === each)) ?? 'not judged';
  const ofIt = found.filter((one) => one.verdict === verdict);
  const words = Map.groupBy(ofIt, ({ detail }) => detail);
  const detail = [...words].map(([said, those]) => {
    const whats = those.map(({ what }) => what).filter((what) => what !== '');
    return whats.length === 0 ? said : `${listed(whats)}: ${said}`;
  });
  return { name, expected, verdict, detail: detail.join('; ') };
}

/** A trial whose end is known before it begins. */
export function settled(verdict: Verdict, detail: string, what = ''): Trial {
  return { what, judge: () => ({ verdict, detail }) };
}

const MOST_LISTED = 2;

function listed(whats: readonly string[]): string {
  const more = whats.length - MOST_LISTED;
  return more > 0 ? `${whats.slice(0, MOST_LISTED).join(', ')} and ${more} more` : whats.join(', ');
}
