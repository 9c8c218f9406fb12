import { readFileSync } from 'node:fs';
import ipaddr from 'ipaddr.js';
import { isErrno } from '../host/failure.ts';
import type { Upstream } from '../net/host-ruleset.ts';

const DNS_PORT = 53;

/** The resolvers to ask: those of the settings, else the host's own, from resolv.conf(5). */
export function upstreamsOf(configured: readonly string[], file = '/etc/resolv.conf'): Upstream[] {
  const addresses = configured.length > 0 ? configured : nameservers(file);
  return addresses.map((address) => ({ address, port: DNS_PORT }));
}

function nameservers(file: string): string[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
  return text.split('\n').flatMap((line) => {
    const [keyword, address = ''] = line.trim().split(/\s+/);
    return keyword === 'nameserver' && ipaddr.IPv4.isValidFourPartDecimal(address) ? [address] : [];
  });
}
