import ipaddr from 'ipaddr.js';
import { PolicyError } from './error.ts';
import { PRIVATE_NETWORKS } from './never.ts';

/** IPv4 networks as users write them, canonical as `10.0.0.0/8`. */

/** More would make every change of that VM's ruleset slow (5 ms at 5 000). */
const MAX_NETWORKS = 1000;

/** The first and last address of a network, as numbers. */
export interface Range {
  readonly cidr: string;
  readonly first: number;
  readonly last: number;
}

/**
 * Reads lists as flags carry them: networks, addresses and `private`, between
 * commas. One inside another is left out, and the rest is sorted.
 * @returns canonical CIDRs
 * @throws PolicyError
 */
export function parseCidrs(texts: readonly string[]): string[] {
  return mergeCidrs(readCidrs(texts));
}

/** As `parseCidrs`, with every entry kept as it was written. */
export function readCidrs(texts: readonly string[]): string[] {
  const cidrs = texts
    .flatMap((text) => text.split(','))
    .map((item) => item.trim())
    .flatMap((item) => (item === 'private' ? PRIVATE_NETWORKS : [parseCidr(item)]));
  if (cidrs.length > MAX_NETWORKS) {
    throw new PolicyError(`${cidrs.length} networks are more than the ${MAX_NETWORKS} of one list`);
  }
  return cidrs;
}

/** Leaves out what lies inside another, and sorts by address. Two CIDRs nest or share nothing. */
export function mergeCidrs(cidrs: readonly string[]): string[] {
  const sorted = cidrs.map(rangeOf).toSorted((a, b) => a.first - b.first || b.last - a.last);
  const kept: Range[] = [];
  for (const range of sorted) {
    const before = kept.at(-1);
    if (before === undefined || range.last > before.last) kept.push(range);
  }
  return kept.map(({ cidr }) => cidr);
}

/**
 * Reads one network or address, strictly: four decimal octets, no bits beyond
 * the prefix.
 * @throws PolicyError
 */
export function parseCidr(text: string): string {
  if (text === '') throw new PolicyError('an entry is empty', 'write networks such as 10.0.0.0/8');
  const [address = '', prefix = '32', ...rest] = text.split('/');
  if (text.includes(':') && ipaddr.IPv6.isValid(address)) {
    throw new PolicyError(`"${text}" is IPv6, which guests do not have`);
  }
  const wellFormed = /^(?:0|[1-9]\d?)$/.test(prefix) && Number(prefix) <= 32 && rest.length === 0;
  if (!wellFormed || !ipaddr.IPv4.isValidFourPartDecimal(address) || /(^|\.)0\d/.test(address)) {
    throw new PolicyError(
      `"${text}" is not an IPv4 network`,
      'write networks such as 10.0.0.0/8, addresses such as 192.0.2.7, or private',
    );
  }
  const network = ipaddr.IPv4.networkAddressFromCIDR(`${address}/${prefix}`).toString();
  if (network !== address) {
    throw new PolicyError(
      `"${text}" has bits set beyond its /${prefix}`,
      `the network is ${network}/${prefix}, the address alone ${address}/32`,
    );
  }
  return `${network}/${prefix}`;
}

/** @param cidr canonical */
export function rangeOf(cidr: string): Range {
  const [address = '', prefix = ''] = cidr.split('/');
  const first = addressNumber(address);
  return { cidr, first, last: first + 2 ** (32 - Number(prefix)) - 1 };
}

/** True when all of `inner` is in `outer`; both are canonical. */
export function contains(outer: string, inner: string): boolean {
  const [out, within] = [rangeOf(outer), rangeOf(inner)];
  return out.first <= within.first && within.last <= out.last;
}

/** A dotted quad as a number. */
export function addressNumber(address: string): number {
  return ipaddr.IPv4.parse(address).octets.reduce((sum, octet) => sum * 256 + octet, 0);
}
