import type { Found } from './found.ts';
import { RCODE, TYPE, type ResourceRecord } from './message.ts';
import { EXTENDED_ERROR, type Reply } from './query.ts';
import { strippedServiceData } from './service-record.ts';

/** How a guest's answers are cut under domain rules. */
export interface NameRules {
  /** Whether the guest may learn of, and be let through to, an IPv4 address. */
  keeps: (address: string) => boolean;
}

/** What a guest gets of what was found. */
export interface View {
  reply: Reply;
  /** The IPv4 addresses in it. */
  addresses: readonly string[];
  /** Those that it may not learn. */
  dropped: readonly string[];
}

/** The types that are passed on under domain rules. */
const FORWARDED = new Set<number>([
  TYPE.A,
  TYPE.NS,
  TYPE.CNAME,
  TYPE.SOA,
  TYPE.MX,
  TYPE.TXT,
  TYPE.SRV,
  TYPE.SSHFP,
  TYPE.TLSA,
  TYPE.SVCB,
  TYPE.HTTPS,
  TYPE.CAA,
]);

/** Whether questions of this type are passed on under domain rules. */
export function isForwarded(type: number): boolean {
  return FORWARDED.has(type);
}

/** As many addresses of one name are let through at once; an answer holds no more. */
const MAX_ADDRESSES = 64;

/**
 * The answer to a question of `type`. Without rules all that was found; with
 * them addresses that the guest may reach, and service records without what
 * would lead around the proxy.
 */
export function viewOf(type: number, found: Found, rules: NameRules | undefined): View {
  const { rcode, authority } = found;
  const timed = (record: ResourceRecord) => ({ ...record, ttl: found.ttl });
  const all: Reply = {
    rcode,
    answers: found.answers.map(timed),
    authorities: authority === undefined ? [] : [timed(authority)],
  };
  const whole = { reply: all, addresses: [], dropped: [] };
  if (rules === undefined) return whole;
  if (type === TYPE.A) return judgedAddresses(all, rules);
  if (type === TYPE.HTTPS || type === TYPE.SVCB) return { ...whole, reply: stripped(all) };
  return whole;
}

function judgedAddresses(all: Reply, { keeps }: NameRules): View {
  const addresses: string[] = [];
  const dropped: string[] = [];
  const answers = (all.answers ?? []).filter(({ type, data }) => {
    if (type !== TYPE.A) return true;
    const address = data.join('.');
    if (!keeps(address)) {
      dropped.push(address);
      return false;
    }
    if (addresses.length >= MAX_ADDRESSES) return false;
    addresses.push(address);
    return true;
  });
  if (dropped.length === 0 || addresses.length > 0) {
    return { reply: { ...all, answers }, addresses, dropped };
  }
  const which = dropped.slice(0, 3).join(', ');
  const text = `vmsan: this name has only addresses that the VM may not reach by name: ${which}`;
  const extendedError = { code: EXTENDED_ERROR.FILTERED, text };
  return { reply: { rcode: RCODE.NOERROR, extendedError }, addresses, dropped };
}

/** The IPv4 addresses that were found. */
export function addressesOf({ answers }: Found): string[] {
  return answers.filter(({ type }) => type === TYPE.A).map(({ data }) => data.join('.'));
}

function stripped(all: Reply): Reply {
  const answers = (all.answers ?? []).flatMap((record) => {
    if (record.type !== TYPE.HTTPS && record.type !== TYPE.SVCB) return [record];
    const data = strippedServiceData(record.data);
    return data === null ? [] : [{ ...record, data }];
  });
  return { ...all, answers };
}
