import type { Answer } from 'dns-packet';
import * as world from '../world.ts';

/** Seconds that an answer may be kept. */
const TTL = 60;

const named = [
  world.allowed,
  world.denied,
  world.website,
  world.github,
  world.githubApi,
  world.npm,
  world.npmPackages,
  world.lan,
  world.rebind,
];

/** Priority 1, the owner as target; alpn=h2, port=443, ipv4hint=192.0.2.7, ech, ipv6hint=2001:db8::7. */
const SERVICE =
  '000100' +
  '00010003026832' +
  '0003000201bb' +
  '00040004c0000207' +
  '00050004fe0d0000' +
  '0006001020010db8000000000000000000000007';

const service = {
  // HTTPS, a type that dns-packet does not know.
  type: 'UNKNOWN_65',
  name: world.names.service,
  ttl: TTL,
  data: Buffer.from(SERVICE, 'hex'),
} as unknown as Answer;

/** All that the lab's DNS knows. A name that is not here does not exist. */
const records: readonly Answer[] = [
  ...named.map(({ name, address }): Answer => ({ type: 'A', name, ttl: TTL, data: address })),
  { type: 'AAAA', name: world.website.name, ttl: TTL, data: world.website.address6 },
  { type: 'CNAME', name: world.names.chain, ttl: TTL, data: world.names.chainHop },
  { type: 'CNAME', name: world.names.chainHop, ttl: TTL, data: world.website.name },
  { type: 'TXT', name: world.names.text, ttl: TTL, data: ['hello from the lab'] },
  service,
  { type: 'TXT', name: world.names.big, ttl: TTL, data: Array<string>(10).fill('x'.repeat(200)) },
];

export interface Lookup {
  answers: Answer[];
  /** False: NXDOMAIN. True with no answers: the name has no record of that type. */
  exists: boolean;
}

/** Looks a question up, following CNAMEs (RFC 1034, section 4.3.2). */
export function lookUp(name: string, type: string): Lookup {
  const wanted = name.toLowerCase();
  const ofName = records.filter((record) => record.name === wanted);
  const alias = ofName.find((record) => record.type === 'CNAME');
  if (alias?.type === 'CNAME' && type !== 'CNAME') {
    const rest = lookUp(alias.data, type);
    return { answers: [alias, ...rest.answers], exists: rest.exists };
  }
  return { answers: ofName.filter((record) => record.type === type), exists: ofName.length > 0 };
}
