import type { DomainRule } from './domain.ts';

/**
 * The larger public resolvers that speak DNS over HTTPS (RFC 8484); more are in
 * https://github.com/curl/curl/wiki/DNS-over-HTTPS. No such list is ever whole:
 * what keeps other resolvers out is that only allowed names are reached. This
 * one gives the reason early, and holds where a wildcard would name one.
 */

/** Each also stands for the names below it. */
const DOH_NAMES: ReadonlySet<string> = new Set([
  'adguard-dns.com',
  'applied-privacy.net',
  'chrome.cloudflare-dns.com',
  'cloudflare-dns.com',
  'dns.adguard.com',
  'dns.alidns.com',
  'dns.controld.com',
  'dns.digitale-gesellschaft.ch',
  'dns.google',
  'dns.google.com',
  'dns.mullvad.net',
  'dns.nextdns.io',
  'dns.pub',
  'dns.quad9.net',
  'dns.sb',
  'dns.switch.ch',
  'dns.twnic.tw',
  'dns.umbrella.com',
  'dns0.eu',
  'dns10.quad9.net',
  'dns11.quad9.net',
  'dns12.quad9.net',
  'dns9.quad9.net',
  'doh.cleanbrowsing.org',
  'doh.dns.sb',
  'doh.familyshield.opendns.com',
  'doh.libredns.gr',
  'doh.opendns.com',
  'doh.pub',
  'doh.umbrella.com',
  'doh.xfinity.com',
  'dot.dns.yandex.net',
  'freedns.controld.com',
  'odvr.nic.cz',
  'one.one.one.one',
  'ordns.he.net',
  'wikimedia-dns.org',
]);

const DOH_ADDRESSES: readonly string[] = [
  // Cloudflare
  ...['1.1.1.1', '1.0.0.1', '1.1.1.2', '1.0.0.2', '1.1.1.3', '1.0.0.3'],
  ...['104.16.248.249', '104.16.249.249', '162.159.36.1', '162.159.46.1', '172.64.36.1'],
  // Google
  ...['8.8.8.8', '8.8.4.4'],
  // Quad9
  ...['9.9.9.9', '149.112.112.112', '9.9.9.10', '149.112.112.10', '9.9.9.11', '149.112.112.11'],
  // OpenDNS
  ...['208.67.222.222', '208.67.220.220', '208.67.222.123', '208.67.220.123'],
  ...['146.112.41.2', '146.112.41.3'],
  // AdGuard
  ...['94.140.14.14', '94.140.15.15', '94.140.14.15', '94.140.15.16', '94.140.14.140'],
  '94.140.14.141',
  // Control D, NextDNS, CleanBrowsing
  ...['76.76.2.0/29', '76.76.10.0/29', '45.90.28.0/24', '45.90.30.0/24'],
  ...['185.228.168.0/24', '185.228.169.0/24'],
  // Mullvad, DNS.SB, dns0.eu
  ...['194.242.2.0/28', '185.222.222.222', '45.11.45.11', '193.110.81.0', '185.253.5.0'],
  // AliDNS, DNSPod, Quad101, Yandex
  ...['223.5.5.5', '223.6.6.6', '1.12.12.12', '120.53.53.53', '101.101.101.101'],
  ...['77.88.8.8', '77.88.8.1'],
];

/** Whether a name, as `normalName` gives it, is that of a known resolver. */
export function isDohName(name: string): boolean {
  for (let at = 0; ; at = name.indexOf('.', at) + 1) {
    if (DOH_NAMES.has(name.slice(at))) return true;
    if (!name.includes('.', at)) return false;
  }
}

/**
 * Networks whose port 443 is rejected under these rules, as CIDRs in order:
 * none when a rule names such a resolver itself, with no wildcard.
 */
export function dohNetworks(rules: readonly DomainRule[]): readonly string[] {
  if (rules.some(({ name, wildcard }) => !wildcard && isDohName(name))) return [];
  return DOH_ADDRESSES.map((text) => (text.includes('/') ? text : `${text}/32`));
}
