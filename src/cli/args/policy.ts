import type { Command } from 'commander';
import { parseBase, parseNames, parseNetworks, policyOf } from '../../api/values.ts';
import type { PolicyBase } from '../../policy/policy.ts';
import { valueFlag } from './flags.ts';

/** The flags that together are a policy. */
export interface PolicyOptions {
  networkPolicy?: PolicyBase;
  allowedDomain?: string[];
  allowedCidr?: string[];
  deniedCidr?: string[];
}

/** @param what says of --network-policy what it does to a VM */
export function addPolicyFlags(command: Command, what: string): Command {
  return command
    .addOption(valueFlag('--network-policy <policy>', what, parseBase))
    .addOption(
      valueFlag(
        '--allowed-domain <names>',
        'allow only these; "*.name" is all below it, "name:22" a port beside 80 and 443',
        parseNames,
      ),
    )
    .addOption(
      valueFlag(
        '--allowed-cidr <networks>',
        'allow only these; commas, repeatable, "private" is your own networks',
        parseNetworks,
      ),
    )
    .addOption(
      valueFlag('--denied-cidr <networks>', 'deny these, whatever else is allowed', parseNetworks),
    );
}

/** Whether any flag of a policy was given. */
export function saysPolicy(options: PolicyOptions): boolean {
  const { networkPolicy, allowedDomain, allowedCidr, deniedCidr } = options;
  return [networkPolicy, allowedDomain, allowedCidr, deniedCidr].some((said) => said !== undefined);
}

/** The policy as a request carries it. @throws Failure `bad_input` for flags that make none */
export function policyRequest(options: PolicyOptions) {
  const {
    networkPolicy: base = '',
    allowedDomain: allowedDomains = [],
    allowedCidr: allowedCidrs = [],
    deniedCidr: deniedCidrs = [],
  } = options;
  policyOf({ base, allowedDomains, allowedCidrs, deniedCidrs });
  return { policy: base, allowedDomains, allowedCidrs, deniedCidrs };
}
