import type { Command } from 'commander';
import { parseBase, parseNetworks, policyOf } from '../../api/values.ts';
import type { PolicyBase } from '../../policy/policy.ts';
import { valueFlag } from './flags.ts';

/** The flags that together are a policy. */
export interface PolicyOptions {
  networkPolicy?: PolicyBase;
  allowedCidr?: string[];
  deniedCidr?: string[];
}

/** @param what says of --network-policy what it does to a VM */
export function addPolicyFlags(command: Command, what: string): Command {
  return command
    .addOption(valueFlag('--network-policy <policy>', what, parseBase))
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
  const { networkPolicy, allowedCidr, deniedCidr } = options;
  return networkPolicy !== undefined || allowedCidr !== undefined || deniedCidr !== undefined;
}

/** The policy as a request carries it. @throws Failure `bad_input` for flags that make none */
export function policyRequest(options: PolicyOptions) {
  const { networkPolicy = '', allowedCidr = [], deniedCidr = [] } = options;
  policyOf({ base: networkPolicy, allowedCidrs: allowedCidr, deniedCidrs: deniedCidr });
  return { policy: networkPolicy, allowedCidrs: allowedCidr, deniedCidrs: deniedCidr };
}
