import { Cache } from './cache.ts';
import type { Exchange } from './exchange.ts';
import { readAnswer, type Found } from './found.ts';
import { nameOf, type Upstream, type UpstreamQuestion } from './upstream.ts';

/** Why nothing was found, each try on its own; for the log, not for guests. */
export interface NotFound {
  readonly tries: readonly string[];
}

export interface Lookup {
  /** What is known without asking anybody. */
  known(question: UpstreamQuestion): Found | undefined;
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
}

/**
 * Looks names up, in the cache first. Whose resolvers are asked belongs to an
 * answer: when they change, all that others said is forgotten.
 */
export function createLookup({ exchange, upstreams, cache = new Cache() }: LookupOptions): Lookup {
  let said: readonly Upstream[] = [];
  let whose = '';

  /** The upstreams as one text, and a cache that holds only what they said. */
  function current(): string {
    const now = upstreams();
    // A snapshot is replaced, never changed.
    if (now === said) return whose;
    said = now;
    const text = now.map(nameOf).join(' ');
    if (text !== whose) cache.clear();
    whose = text;
    return whose;
  }

  function known(question: UpstreamQuestion): Found | undefined {
    current();
    return cache.get(question);
  }

  async function find(question: UpstreamQuestion): Promise<Found | NotFound> {
    return known(question) ?? findAnew(question);
  }

  async function findAnew(question: UpstreamQuestion): Promise<Found | NotFound> {
    const asked = current();
    const result = await exchange(question);
    if (result.kind === 'none') return { tries: result.tries };
    const answer = readAnswer(question, result.message);
    if (answer === null) return { tries: ['the aliases of the answer go in a circle'] };
    if (asked === current()) cache.add(question, answer);
    return answer;
  }

  return { known, find, findAnew };
}
