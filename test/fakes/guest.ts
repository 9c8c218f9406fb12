import { parseGuest, type Guest } from '../../src/gate/guest.ts';

const POOLS = ['172.16.0.0/16', '10.200.0.0/16'];

/** A guest of the gate's under a custom policy that denies by default. */
export function guestWith(
  domains: string[],
  more: { generation?: number; allowedCidrs?: string[]; deniedCidrs?: string[]; ip?: string } = {},
): Guest {
  const { ip = '172.16.1.2', generation = 1, allowedCidrs = [], deniedCidrs = [] } = more;
  const request = {
    $typeName: 'vmsan.v1.GuestPolicy' as const,
    guestIp: ip,
    vmId: `vm-of-${ip}`,
    policy: 'custom',
    resolves: domains.length > 0,
    generation,
    defaultVerdict: 'deny',
    allowedCidrs,
    deniedCidrs,
    openedCidrs: [],
    allowedDomains: domains,
  };
  return parseGuest(request, { vmPools: POOLS, hostAddresses: ['192.0.2.10'] }, undefined);
}
