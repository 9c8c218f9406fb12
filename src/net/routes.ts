import ipaddr from 'ipaddr.js';
import { ipJson } from '../host/ip.ts';

/** The destinations of the host's IPv4 routes as CIDRs, the default route left out. */
export async function routedNetworks(): Promise<string[]> {
  const routes = await ipJson<{ dst: string; type?: string }>(undefined, [
    '-4',
    'route',
    'show',
    'table',
    'all',
  ]);
  return routes
    .map(({ dst }) => (dst.includes('/') ? dst : `${dst}/32`))
    .filter((dst) => ipaddr.IPv4.isValidCIDR(dst));
}
