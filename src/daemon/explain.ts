import { Failure } from '../host/failure.ts';
import { flowsOf } from '../net/flows.ts';
import { explain, parseTarget, type Judgement, type Target } from '../policy/explain.ts';
import { PolicyError } from '../policy/policy.ts';
import type { PortRange } from '../policy/ports.ts';
import { networkOf, type Context } from './context.ts';
import { findVm } from './find.ts';
import { readRequest, surroundingsOf, type PolicyRequest } from './policy.ts';

/** An address that a name holds. */
export interface HeldNow {
  name: string;
  address: string;
  /** Rounded up. */
  seconds: number;
  /** "tcp 22", "udp 1-52"; none when only the proxy and the resolver use it. */
  ports: string[];
}

export interface Explanation {
  judgements: Judgement[];
  held: HeldNow[];
  /** Open flows to the address, or to those that the name holds; proxied ones left out. */
  flows: number;
}

/**
 * What the policy of a VM makes of a target now; without a VM, what the
 * request's own policy would.
 * @throws Failure
 */
export function explainTarget(
  context: Context,
  request: PolicyRequest & { vm: string; target: string },
): Explanation {
  const target = read(request.target);
  const world = surroundingsOf(context.host);
  if (request.vm === '') {
    const { policy } = readRequest(context.host, request);
    const judgements = explain(policy, target, { ...world, gateway: '' });
    return { judgements, held: [], flows: 0 };
  }
  const vm = findVm(context.store, request.vm);
  const network = networkOf(context, vm);
  const held = context.leases
    .holdings(vm.id)
    .filter(({ name, address }) => name === target.name || address === target.address);
  const addresses = held.map(({ address }) => address);
  const here = { ...world, gateway: network.gatewayIp, learned: context.leases.learned(vm) };
  const wanted = new Set([...addresses, ...(target.address ?? '').split(' ')]);
  const flows = vm.state === 'running' ? flowsOf(network) : [];
  return {
    judgements: explain(vm.policy, target, here, addresses),
    held: held.map(({ name, address, expiresAtMs, ports }) => ({
      name,
      address,
      seconds: Math.ceil((expiresAtMs - Date.now()) / 1000),
      ports: ports.map(words),
    })),
    flows: flows.filter(({ destination, direct }) => direct && wanted.has(destination)).length,
  };
}

function read(text: string): Target {
  try {
    return parseTarget(text);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    throw new Failure('bad_input', error.message, { hint: error.hint ?? '' });
  }
}

function words({ protocol, first, last }: PortRange): string {
  return first === last ? `${protocol} ${first}` : `${protocol} ${first}-${last}`;
}
