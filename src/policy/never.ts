/**
 * What no guest may ever reach, under any policy (docs/security.md). Beside
 * these there are the networks of the VMs, which are a setting, and the host's
 * own addresses, which are judged as they are at that moment.
 */
export interface ClosedNetwork {
  cidr: string;
  what: string;
  /** An allowed CIDR that lies wholly inside opens that part. */
  mayBeOpened: boolean;
}

export const CLOSED_NETWORKS: readonly ClosedNetwork[] = [
  { cidr: '0.0.0.0/8', what: '"this network", RFC 1122', mayBeOpened: false },
  { cidr: '127.0.0.0/8', what: 'loopback', mayBeOpened: false },
  { cidr: '169.254.0.0/16', what: 'link-local, cloud metadata', mayBeOpened: true },
  { cidr: '168.63.129.16/32', what: 'cloud metadata (Azure)', mayBeOpened: true },
  { cidr: '100.100.100.200/32', what: 'cloud metadata (Alibaba)', mayBeOpened: true },
  { cidr: '192.0.0.0/24', what: 'IETF protocol assignments, RFC 6890', mayBeOpened: false },
  { cidr: '224.0.0.0/4', what: 'multicast', mayBeOpened: false },
  { cidr: '240.0.0.0/4', what: 'reserved, and broadcast', mayBeOpened: false },
];

/** Their CIDRs. */
export const NEVER_REACHABLE: readonly string[] = CLOSED_NETWORKS.map(({ cidr }) => cidr);

/** `private` in a list: RFC 1918, and the carriers' NAT of RFC 6598. */
export const PRIVATE_NETWORKS: readonly string[] = [
  '10.0.0.0/8',
  '100.64.0.0/10',
  '172.16.0.0/12',
  '192.168.0.0/16',
];
