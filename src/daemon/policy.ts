import { networkInterfaces } from 'node:os';
import { policyOf } from '../api/values.ts';
import type { HostNetwork } from '../net/plan.ts';
import type { ReadPolicy, Surroundings } from '../policy/policy.ts';

/** A policy as a request says it. */
export interface PolicyRequest {
  policy: string;
  allowedDomains: readonly string[];
  allowedCidrs: readonly string[];
  deniedCidrs: readonly string[];
}

/** Reads a policy on this host, as it is now. @throws Failure `bad_input` */
export function readRequest(host: HostNetwork, request: PolicyRequest): ReadPolicy {
  const { policy: base, allowedDomains, allowedCidrs, deniedCidrs } = request;
  return policyOf({ base, allowedDomains, allowedCidrs, deniedCidrs }, surroundingsOf(host));
}

/** What no VM reaches on this host. Addresses of links that are down are left out. */
export function surroundingsOf(host: HostNetwork): Surroundings {
  return {
    vmPools: [host.pools.subnetPool, host.pools.transitPool],
    hostAddresses: Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .filter(({ family }) => family === 'IPv4')
      .map(({ address }) => address),
  };
}
