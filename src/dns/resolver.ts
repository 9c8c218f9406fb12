import { TYPE, RCODE, type Question } from './message.ts';
import { nameText, lowerName } from './name.ts';
import { EXTENDED_ERROR, encodeReply, readQuery } from './query.ts';
import type { Asked, Reply, Transport } from './query.ts';
import type { Found } from './found.ts';
import type { Lookup, NotFound } from './lookup.ts';
import { ReadyAnswers } from './ready.ts';
import { isForwarded, viewOf, type NameRules, type View } from './view.ts';
import { Waiting, type WaitingLimits } from './waiting.ts';

/** A VM as the resolver knows it. Its source address is what it is known by. */
export interface Guest {
  readonly ip: string;
  readonly vmId: string;
  /** Another one for every change of its policy. */
  readonly generation: number;
}

/** What a guest asks, as the one who decides sees it. */
export interface DecidedQuery {
  /** Lower case, no final dot, unusual bytes escaped (`nameText`). */
  name: string;
  type: number;
}

export type Verdict =
  { allow: true; rule: string; byName?: ByName } | { allow: false; rule: string; reason: string };

/** Domain rules, as far as they say something of one name. */
export interface ByName extends NameRules {
  /**
   * Has the guest let through to the addresses, for at least `ttl` seconds.
   * What comes back is waited for before the guest learns them; undefined when
   * nothing of the name goes by address.
   */
  lease: (addresses: readonly string[], ttl: number) => Promise<LeaseOutcome> | undefined;
  /** For so many milliseconds an answer may be given again without another lease. */
  repeatMs: number;
}

/** `held`: they are let through; otherwise why not, as a sentence for the guest. */
export type LeaseOutcome = 'held' | { why: string };

/** Whether this guest may ask this. Pure; asked again after every wait. */
export type Decide<G extends Guest> = (query: DecidedQuery, guest: G) => Verdict;

/** Tells the operator, at a bounded rate. */
export type Report = (event: string, details?: Record<string, unknown>) => void;

/** What became of a question. */
export interface Outcome {
  query: DecidedQuery;
  verdict: 'allow' | 'deny';
  rule: string;
  reason: string;
}

export interface ResolverOptions<G extends Guest> {
  /** The guest that `source` is as of now. */
  guestOf: (source: string) => G | undefined;
  decide: Decide<G>;
  lookup: Lookup;
  report: Report;
  /** Told of every question that was judged. */
  record?: (guest: G, outcome: Outcome) => void;
  /** Questions that wait for an upstream or a lease, of one guest and of all. */
  limits?: WaitingLimits;
}

/**
 * What to send back for a message from `source`, or null for nothing: at once
 * when it was answered a moment ago. Never throws nor rejects, whatever the
 * bytes are.
 */
export type Resolve = (
  bytes: Buffer,
  source: string,
  transport: Transport,
) => Buffer | null | Promise<Buffer | null>;

/** A policy that changes all the time must not keep an answer for ever. */
const LEASE_ROUNDS = 3;

/** An answer, and when the same question may get it again without being judged again. */
type Given = Reply & { again?: Again };
interface Again {
  guest: object;
  ttl: number;
  keepMs: number;
  used: () => void;
}

/** Of one question: who asks what, under the rules as they are now. */
interface Now<G> {
  guest: G;
  verdict: Verdict & { allow: true };
}

export function createResolver<G extends Guest>(options: ResolverOptions<G>): Resolve {
  const { guestOf, decide, lookup, report, record = () => {} } = options;
  const waiting = new Waiting(options.limits);
  const ready = new ReadyAnswers<object>();
  let epoch = 0;

  /** @returns a refusal, or null for a guest that is gone, when the question may not be answered */
  function judge(query: DecidedQuery, source: string, vmId?: string): Now<G> | Reply | null {
    const guest = guestOf(source);
    if (guest === undefined || (vmId !== undefined && guest.vmId !== vmId)) return null;
    const verdict = decide(query, guest);
    if (!verdict.allow) {
      const { rule, reason } = verdict;
      record(guest, { query, verdict: 'deny', rule, reason });
      return refusal(EXTENDED_ERROR.PROHIBITED, reason);
    }
    if (verdict.byName !== undefined && query.type !== TYPE.AAAA && !isForwarded(query.type)) {
      const reason = `vmsan: questions of type ${query.type} are not passed on under domain rules`;
      record(guest, { query, verdict: 'deny', rule: 'type', reason });
      return refusal(EXTENDED_ERROR.NOT_SUPPORTED, reason);
    }
    return { guest, verdict };
  }

  async function answer(question: Question, source: string): Promise<Given | null> {
    const query = { name: nameText(lowerName(question.name)), type: question.type };
    let now = judge(query, source);
    if (!isAllowed(now)) return now;
    // Guests have no IPv6: no data, at once, so that nothing waits for it.
    if (question.type === TYPE.AAAA) return { rcode: RCODE.NOERROR };

    let found: Found | NotFound | undefined = lookup.known(question);
    if (found === undefined) {
      const held = await waiting.hold(source, () => lookup.find(question));
      if (held === undefined) return tooMany(now.guest);
      found = held.result;
      // The policy may have changed meanwhile, and the address may be another VM's.
      now = judge(query, source, now.guest.vmId);
      if (!isAllowed(now)) return now;
    }
    if ('tries' in found) return unanswered(query, now.guest, found);
    return leased(query, source, found, now);
  }

  /** Answers once the guest is let through to what the answer holds. */
  async function leased(
    query: DecidedQuery,
    source: string,
    found: Found,
    first: Now<G>,
  ): Promise<Given | null> {
    let now = first;
    for (let round = 0; round < LEASE_ROUNDS; round++) {
      const { guest, verdict } = now;
      const view = viewOf(query.type, found, verdict.byName);
      const pending =
        view.addresses.length === 0 ? undefined : verdict.byName?.lease(view.addresses, found.ttl);
      if (pending === undefined) return given(query, now, view, found.ttl);
      const held = await waiting.hold(source, () => pending);
      if (held === undefined) return tooMany(guest);
      const again = judge(query, source, guest.vmId);
      if (!isAllowed(again)) return again;
      now = again;
      // What was let through under another generation says nothing of this one.
      if (now.guest.generation !== guest.generation) continue;
      if (held.result === 'held') return given(query, now, view, found.ttl);
      return failure(EXTENDED_ERROR.OTHER, held.result.why);
    }
    return failure(EXTENDED_ERROR.OTHER, "vmsan: the VM's policy changed while it was asked");
  }

  function given(query: DecidedQuery, { guest, verdict }: Now<G>, view: View, ttl: number): Given {
    const { dropped, addresses, reply } = view;
    const { rule, byName } = verdict;
    const outcome: Outcome = { query, verdict: 'allow', rule, reason: addresses.join(' ') };
    const used = () => record(guest, outcome);
    used();
    if (dropped.length > 0) {
      const reason = `dropped from its answer: ${dropped.slice(0, 8).join(' ')}`;
      record(guest, { query, verdict: 'deny', rule: 'address', reason });
      return reply;
    }
    return { ...reply, again: { guest, ttl, keepMs: byName?.repeatMs ?? Infinity, used } };
  }

  function tooMany(guest: G): Reply {
    const ofThisVm = waiting.of(guest.ip);
    report('too many DNS queries are waiting', {
      vm: guest.vmId,
      ofThisVm,
      ofAll: waiting.total,
    });
    return failure(EXTENDED_ERROR.OTHER, 'vmsan: too many queries are waiting');
  }

  function unanswered(query: DecidedQuery, guest: G, { tries }: NotFound): Reply {
    report('no upstream resolver answered', { vm: guest.vmId, query, tries: tries.slice(0, 4) });
    const why = 'vmsan: no resolver of the host gave an answer';
    return failure(EXTENDED_ERROR.NO_REACHABLE_AUTHORITY, why);
  }

  async function handle(bytes: Buffer, source: string): Promise<[Asked, Given] | null> {
    if (guestOf(source) === undefined) return null;
    const reading = readQuery(bytes);
    if (reading === null) return null;
    const { asked } = reading;
    if (reading.kind === 'wrong') {
      const { rcode, why: text } = reading;
      const code = EXTENDED_ERROR.NOT_SUPPORTED;
      return [asked, text === undefined ? { rcode } : { rcode, extendedError: { code, text } }];
    }
    const reply = await answer(reading.question, source);
    return reply && [asked, reply];
  }

  async function resolve(bytes: Buffer, source: string, transport: Transport) {
    try {
      const answered = await handle(bytes, source);
      if (answered === null) return null;
      const [asked, reply] = answered;
      const encoded = encodeReply(asked, reply, transport);
      const { again } = reply;
      if (transport === 'udp' && again !== undefined) ready.add(again.guest, bytes, encoded, again);
      return encoded;
    } catch (error) {
      report('a DNS query could not be handled', { source, error: String(error).slice(0, 500) });
      return null;
    }
  }

  return (bytes, source, transport) => {
    const guest = guestOf(source);
    if (guest === undefined) return null;
    if (transport === 'udp') {
      if (lookup.epoch() !== epoch) ready.clear();
      epoch = lookup.epoch();
      const again = ready.get(guest, bytes);
      if (again !== undefined) return again;
    }
    return resolve(bytes, source, transport);
  };
}

function isAllowed<G>(judged: Now<G> | Reply | null): judged is Now<G> {
  return judged !== null && 'verdict' in judged;
}

function refusal(code: number, text: string): Reply {
  return { rcode: RCODE.REFUSED, extendedError: { code, text } };
}

function failure(code: number, text: string): Reply {
  return { rcode: RCODE.SERVFAIL, extendedError: { code, text } };
}
