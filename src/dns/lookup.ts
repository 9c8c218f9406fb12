import { Cache } from './cache.ts';
import type { Exchange } from './exchange.ts';
import { readAnswer, type Found } from './found.ts';
import { lowerName } from './name.ts';
import { nameOf, type Upstream, type UpstreamQuestion } from './upstream.ts';

/** Why nothing was found, each try on its own; for the log, not for guests. */
export interface NotFound {
  readonly tries: readonly string[];
}

export interface Lookup {
  /** Another number when all that was known is forgotten. */
  epoch(): number;
  /** What is known without asking anybody. */
  known(question: UpstreamQuestion): Found | NotFound | undefined;
  /** What is known, or what an upstream says. Never rejects. */
  find(question: UpstreamQuestion): Promise<Found | NotFound>;
  /** What an upstream says now, whatever is known. Never rejects. */
  findAnew(question: UpstreamQuestion): Promise<Found | NotFound>;
}

export interface LookupOptions {
  exchange: Exchange;
  /** As of now; the answers of others are not believed for these. */
  upstreams: () => readonly Upstream[];
  cache?: Cache;
  /** Milliseconds, monotonic. */
  now?: () => number;
}

const FAILURE_MS = 2000;
const MAX_FAILURES = 1000;

/**
 * Looks names up, in the cache first. Whose resolvers are asked belongs to an
 * answer: when they change, all that others said is forgotten.
 */
export function createLookup({
  exchange,
  upstreams,
  cache = new Cache(),
  now = () => performance.now(),
}: LookupOptions): Lookup {
  let said: readonly Upstream[] = [];
  let whose = '';
  let epoch = 0;
  /** In the order of their times. */
  const failures = new Map<string, NotFound & { until: number }>();

  /** The upstreams as one text, and a cache that holds only what they said. */
  function current(): string {
    const list = upstreams();
    // A snapshot is replaced, never changed.
    if (list === said) return whose;
    said = list;
    const text = list.map(nameOf).join(' ');
    if (text !== whose) {
      cache.clear();
      failures.clear();
      epoch++;
    }
    whose = text;
    return whose;
  }

  function known(question: UpstreamQuestion): Found | NotFound | undefined {
    current();
    const found = cache.get(question);
    if (found !== undefined || failures.size === 0) return found;
    const failure = failures.get(keyOf(question));
    return failure !== undefined && now() < failure.until ? failure : undefined;
  }

  /** Not answered is remembered too, for a moment: whoever insists costs nothing (RFC 9520 section 3.2). */
  function failed(asked: string, question: UpstreamQuestion, tries: readonly string[]): NotFound {
    if (asked !== current()) return { tries };
    for (const [key, { until }] of failures) {
      if (until > now() && failures.size < MAX_FAILURES) break;
      failures.delete(key);
    }
    failures.set(keyOf(question), { tries, until: now() + FAILURE_MS });
    return { tries };
  }

  async function find(question: UpstreamQuestion): Promise<Found | NotFound> {
    return known(question) ?? findAnew(question);
  }

  async function findAnew(question: UpstreamQuestion): Promise<Found | NotFound> {
    const asked = current();
    const result = await exchange(question);
    if (result.kind === 'none') return failed(asked, question, result.tries);
    const answer = readAnswer(question, result.message);
    if (answer === null)
      return failed(asked, question, ['the aliases of the answer go in a circle']);
    failures.delete(keyOf(question));
    if (asked === current()) cache.add(question, answer);
    return answer;
  }

  return {
    epoch: () => {
      current();
      return epoch;
    },
    known,
    find,
    findAnew,
  };
}

function keyOf({ name, type }: UpstreamQuestion): string {
  return `${type} ${lowerName(name).toString('latin1')}`;
}
