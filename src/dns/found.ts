import { CLASS_IN, RCODE, TYPE, type Message, type ResourceRecord } from './message.ts';
import { readName, sameName, type Name } from './name.ts';
import type { UpstreamQuestion } from './upstream.ts';

/** What an upstream's answer says of one question, and nothing beside it. Never changed: many share it. */
export interface Found {
  /** NOERROR or NXDOMAIN. */
  readonly rcode: number;
  /** The aliases from the name that was asked, in their order, then the records of the type that was asked. */
  readonly answers: readonly ResourceRecord[];
  /** For "no such name" and "no such records": the record that says for how long (RFC 2308). */
  readonly authority: ResourceRecord | undefined;
  /**
   * Seconds that all of it holds: the shortest time of its records. Zero: for
   * this one answer only.
   */
  readonly ttl: number;
}

/** Unbound and BIND follow 11 and 16. */
const MAX_ALIASES = 16;
/** An address that was learned is let through for an hour at most: no answer is older. */
const MAX_TTL = 3600;
/** RFC 2308 section 5 leaves the bound open, up to hours: a name that comes into being is seen sooner. */
const MAX_NEGATIVE_TTL = 300;

/**
 * Reads from a message what answers the question: the chain of aliases that
 * begins at its name, each followed once, and the records at its end. Whatever
 * else the message holds is dropped, hence never cached under another name.
 * @returns null when the chain goes in a circle or is longer than 16
 */
export function readAnswer(question: UpstreamQuestion, message: Message): Found | null {
  const inClass = message.answers.filter((record) => record.class === CLASS_IN);
  const aliases: ResourceRecord[] = [];
  let owner = question.name;
  for (;;) {
    const alias = question.type === TYPE.CNAME ? undefined : aliasOf(owner, inClass);
    if (alias === undefined) break;
    aliases.push(alias);
    const target = readName(alias.data, 0);
    // A circle has no end either.
    if (target === null || aliases.length > MAX_ALIASES) return null;
    owner = target.name;
  }
  const records = inClass.filter(
    (record) =>
      record.type === question.type && sameName(record.name, owner) && isWellFormed(record),
  );
  const answers = [...aliases, ...records];
  if (message.rcode === RCODE.NOERROR && records.length > 0) {
    return { rcode: message.rcode, answers, authority: undefined, ttl: ttlOf(answers) };
  }
  const authority = message.authorities.find(
    ({ class: ofClass, type, name }) =>
      ofClass === CLASS_IN && type === TYPE.SOA && isWithin(owner, name),
  );
  const rcode = message.rcode;
  // Without it nobody says for how long (RFC 2308 section 5).
  if (authority === undefined) return { rcode, answers: aliases, authority, ttl: 0 };
  const ttl = Math.min(ttlOf(aliases), validTtl(authority), minimumOf(authority), MAX_NEGATIVE_TTL);
  return { rcode, answers: aliases, authority, ttl };
}

function aliasOf(owner: Name, records: readonly ResourceRecord[]): ResourceRecord | undefined {
  return records.find(({ type, name }) => type === TYPE.CNAME && sameName(name, owner));
}

function isWellFormed({ type, data }: ResourceRecord): boolean {
  return type !== TYPE.A || data.length === 4;
}

function ttlOf(records: readonly ResourceRecord[]): number {
  return records.reduce((least, record) => Math.min(least, validTtl(record)), MAX_TTL);
}

/** A time with its top bit set is zero (RFC 2181 section 8). */
function validTtl({ ttl }: ResourceRecord): number {
  return ttl > 0x7fffffff ? 0 : ttl;
}

/** The last field of a SOA record (RFC 1035 3.3.13): how long "no" holds (RFC 2308 section 4). */
function minimumOf({ data }: ResourceRecord): number {
  return data.length < 22 ? 0 : data.readUInt32BE(data.length - 4);
}

/** Whether `name` is `zone` or below it. */
function isWithin(name: Name, zone: Name): boolean {
  for (let at = 0; at < name.length; at += 1 + (name[at] ?? 0)) {
    if (sameName(name.subarray(at), zone)) return true;
    if (name[at] === 0) return false;
  }
  return false;
}
