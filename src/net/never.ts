/**
 * What no guest may ever reach, under any policy (docs/security.md). The
 * host's own addresses are not listed here: the host table judges them by
 * `fib`, as they are at that moment.
 */
export const NEVER_REACHABLE: readonly string[] = [
  '0.0.0.0/8', // "this network", RFC 1122 3.2.1.3
  '127.0.0.0/8', // loopback, RFC 1122 3.2.1.3
  '169.254.0.0/16', // link-local, RFC 3927; cloud metadata
  '168.63.129.16/32', // Azure's host services
  '100.100.100.200/32', // Alibaba Cloud's metadata
  '192.0.0.0/24', // IETF protocol assignments, RFC 6890
  '224.0.0.0/4', // multicast, RFC 5771
  '240.0.0.0/4', // reserved, and broadcast, RFC 1112 4
];
