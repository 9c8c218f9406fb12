import { RCODE, type Message } from './message.ts';
import { lowerName } from './name.ts';
import { askUpstream, nameOf, type Upstream, type UpstreamQuestion } from './upstream.ts';

export interface ExchangeOptions {
  /** In order of preference, as of now. */
  upstreams: () => readonly Upstream[];
  /** Milliseconds for one try. */
  tryMs?: number;
  /** No try begins later than this many milliseconds after the first. */
  deadlineMs?: number;
}

/** Why no answer came, each try on its own; for the log, not for guests. */
export interface NoAnswer {
  kind: 'none';
  tries: string[];
}
export type ExchangeResult = { kind: 'answer'; message: Message } | NoAnswer;

/** Asks the host's resolvers until one answers. Never rejects. */
export type Exchange = (question: UpstreamQuestion) => Promise<ExchangeResult>;

/** Stub resolvers in guests (glibc, musl) ask again after 5 s: two tries fit, and the second asking joins the first. */
const TRY_MS = 2000;
const DEADLINE_MS = 6000;
const ROUNDS = 2;
/** A resolver that was silent is asked last for this long. */
const SILENT_MS = 30_000;

/**
 * Goes through the upstreams in order, twice, until one gives an answer that
 * another would give too. The same question asked while one is under way waits
 * for its answer: two at once would double the chances of a forged one
 * (RFC 5452 section 5).
 */
export function createExchange({
  upstreams,
  tryMs = TRY_MS,
  deadlineMs = DEADLINE_MS,
}: ExchangeOptions): Exchange {
  const underWay = new Map<string, Promise<ExchangeResult>>();
  const silentUntil = new Map<string, number>();

  const isSilent = (upstream: Upstream) =>
    (silentUntil.get(nameOf(upstream)) ?? 0) > performance.now();

  async function ask(question: UpstreamQuestion): Promise<ExchangeResult> {
    const started = performance.now();
    const tries: string[] = [];
    const current = upstreams();
    const order = [
      ...current.filter((upstream) => !isSilent(upstream)),
      ...current.filter((upstream) => isSilent(upstream)),
    ];
    for (let round = 0; round < ROUNDS; round++) {
      for (const upstream of order) {
        if (performance.now() - started >= deadlineMs) return { kind: 'none', tries };
        try {
          const message = await askUpstream(upstream, question, tryMs);
          silentUntil.delete(nameOf(upstream));
          if (message.rcode === RCODE.NOERROR || message.rcode === RCODE.NXDOMAIN) {
            return { kind: 'answer', message };
          }
          tries.push(`${nameOf(upstream)}: rcode ${message.rcode}`);
        } catch (error) {
          tries.push(error instanceof Error ? error.message : String(error));
          forgetOld(silentUntil);
          silentUntil.set(nameOf(upstream), performance.now() + SILENT_MS);
        }
      }
    }
    return { kind: 'none', tries };
  }

  return (question) => {
    const whom = upstreams().map(nameOf).join(' ');
    const key = `${whom} ${question.type} ${lowerName(question.name).toString('latin1')}`;
    const known = underWay.get(key);
    if (known !== undefined) return known;
    const asking = ask(question).finally(() => underWay.delete(key));
    underWay.set(key, asking);
    return asking;
  };
}

function forgetOld(silentUntil: Map<string, number>): void {
  for (const [name, until] of silentUntil) {
    if (until <= performance.now()) silentUntil.delete(name);
  }
}
