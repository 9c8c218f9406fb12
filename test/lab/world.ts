/**
 * The small world that every test and the demo stand on: each address, name
 * and port of it, in one place.
 *
 *     lab's host (netns, mounts, pids of its own)      lab's internet (netns)
 *    ┌──────────────────────────────────────────┐    ┌─────────────────────────────────────────────┐
 *    │ vmsan, its daemon and gate, its VMs      │    │ 192.0.2.1        router                     │
 *    │                                          │    │ 192.0.2.53       the resolver               │
 *    │  eth0 192.0.2.10/24 ─────────────────────┼────┼ eth0                                        │
 *    │       fd00:1ab::10/64                    │    │ 198.51.100.10    allowed. and               │
 *    │  default via 192.0.2.1                   │    │                  denied.example.com         │
 *    │  169.254.169.254 via 192.0.2.1           │    │ 198.51.100.30+   github.com, api.github.com │
 *    │                                          │    │ 203.0.113.20     www.example.org            │
 *    │  /run, /etc, /var/lib: its own           │    │ 203.0.113.40+    npmjs.org, packages.…      │
 *    └──────────────────────────────────────────┘    │ 203.0.113.53     somebody else's resolver   │
 *                                                    │ 10.20.0.10       a server in the user's LAN │
 *                                                    │ 192.168.77.10    another                    │
 *                                                    │ 100.64.0.10      carrier-grade NAT          │
 *                                                    │ 169.254.169.254 … metadata services         │
 *                                                    └─────────────────────────────────────────────┘
 *
 * Everything in the internet is one machine that owns all of these addresses
 * and serves the same ports on each. Nothing leads from it to anywhere else;
 * an address it does not own is answered with "network unreachable".
 * Public addresses are those set aside for documentation (RFC 5737, RFC 3849).
 */

/** The lab's host: where vmsan runs. */
export const host = {
  link: 'eth0',
  address: '192.0.2.10',
  prefix: 24,
  address6: 'fd00:1ab::10',
} as const;

/** The other end of the host's uplink: its default route. */
export const router = { link: 'eth0', address: '192.0.2.1', address6: 'fd00:1ab::1' } as const;

/** The host's resolver. Answers as a recursive one would, from the table in internet/zone.ts. */
export const resolver = { address: '192.0.2.53', port: 53 } as const;

/** A public resolver that is not the host's, with the same answers: to bypass ours with. */
export const otherResolver = { address: '203.0.113.53', port: 53 } as const;

/** One address, two names: only enforcement by name can tell them apart. */
export const shared = { address: '198.51.100.10' } as const;
export const allowed = { name: 'allowed.example.com', address: shared.address } as const;
export const denied = { name: 'denied.example.com', address: shared.address } as const;

/** A public web server with an address of its own. */
export const website = {
  name: 'www.example.org',
  address: '203.0.113.20',
  address6: '2001:db8:203::20',
} as const;

export const github = { name: 'github.com', address: '198.51.100.30' } as const;
export const githubApi = { name: 'api.github.com', address: '198.51.100.31' } as const;
export const npm = { name: 'npmjs.org', address: '203.0.113.40' } as const;
export const npmPackages = { name: 'packages.npmjs.org', address: '203.0.113.41' } as const;

/** Servers in the user's own networks, reached through the router. */
export const lan = { name: 'nas.example.com', address: '10.20.0.10' } as const;
export const otherLan = { address: '192.168.77.10' } as const;
export const carrierNat = { address: '100.64.0.10' } as const;

/** A public name that points into the LAN: DNS rebinding. */
export const rebind = { name: 'rebind.example.com', address: lan.address } as const;

/** Where clouds keep their metadata services. */
export const metadata = { address: '169.254.169.254' } as const;
export const azureMetadata = { address: '168.63.129.16' } as const;
export const alibabaMetadata = { address: '100.100.100.200' } as const;

/** Addresses that no guest may reach under any policy, though here a server answers on each. */
export const neverReachable: readonly string[] = [
  metadata.address,
  azureMetadata.address,
  alibabaMetadata.address,
  '192.0.0.10',
  '240.0.0.10',
];

/** DNS names with a special answer. */
export const names = {
  /** CNAME → hop.example.net → www.example.org */
  chain: 'chain.example.com',
  chainHop: 'hop.example.net',
  /** TXT "hello from the lab" */
  text: 'text.example.com',
  /** HTTPS with alpn, port, ech, ipv4hint and ipv6hint (RFC 9460). */
  service: 'service.example.com',
  /** TXT of 2 000 bytes: needs EDNS or TCP. */
  big: 'big.example.com',
  /** Never answered. */
  silent: 'silent.example.com',
  /** NXDOMAIN, like every name that is not in the table. */
  missing: 'missing.example.com',
} as const;

/** What listens on every address of the internet (dns: on the two resolvers only). */
export const ports = {
  dns: 53,
  http: 80,
  https: 443,
  /** Echo (RFC 862), TCP and UDP. */
  echo: 7,
  /** Answers each line "you said: <line>". */
  lines: 5432,
} as const;

/** Every IPv4 address of the internet but the router's. */
export const internetAddresses: readonly string[] = [
  resolver.address,
  otherResolver.address,
  shared.address,
  website.address,
  github.address,
  githubApi.address,
  npm.address,
  npmPackages.address,
  lan.address,
  otherLan.address,
  carrierNat.address,
  ...neverReachable,
];

/** Every name that the lab's certificate is for. */
export const certifiedNames: readonly string[] = [
  allowed.name,
  denied.name,
  website.name,
  github.name,
  githubApi.name,
  npm.name,
  npmPackages.name,
  lan.name,
  rebind.name,
  names.chain,
];
