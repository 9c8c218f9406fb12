import { Failure, messageOf } from '../host/failure.ts';
import { flowsOf } from '../net/flows.ts';
import { explain, parseTarget, type Judgement, type Target } from '../policy/explain.ts';
import { PolicyError } from '../policy/policy.ts';
import type { PortRange } from '../policy/ports.ts';
import type { Decided } from '../store/traffic.ts';
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
  /** What went through these, both ways. */
  flowPackets: bigint;
  flowBytes: bigint;
  /** Open connections through the proxy to the name, or to the address. */
  proxied: number;
  /** What `vmsan traffic` shows of it. */
  timesAllowed: bigint;
  timesDenied: bigint;
}

const NOTHING_LIVE = {
  held: [],
  flows: 0,
  flowPackets: 0n,
  flowBytes: 0n,
  proxied: 0,
  timesAllowed: 0n,
  timesDenied: 0n,
};

/**
 * What the policy of a VM makes of a target now; without a VM, what the
 * request's own policy would.
 * @throws Failure
 */
export async function explainTarget(
  context: Context,
  request: PolicyRequest & { vm: string; target: string },
): Promise<Explanation> {
  const target = read(request.target);
  const world = surroundingsOf(context.host);
  if (request.vm === '') {
    const { policy } = readRequest(context.host, request);
    const judgements = explain(policy, target, { ...world, gateway: '' });
    return { judgements, ...NOTHING_LIVE };
  }
  const vm = findVm(context.store, request.vm);
  const network = networkOf(context, vm);
  const held = context.leases
    .holdings(vm.id)
    .filter(({ name, address }) => name === target.name || address === target.address);
  const addresses = held.map(({ address }) => address);
  const here = { ...world, gateway: network.gatewayIp, learned: context.leases.learned(vm) };
  const wanted = new Set([...addresses, ...(target.address ?? '').split(' ')]);
  const open = vm.state === 'running' ? flowsOf(network) : [];
  const flows = open.filter(({ destination, direct }) => direct && wanted.has(destination));
  const connections = await connectionsOf(context, vm.id);
  const proxied = connections.filter(
    ({ name, address }) => name === target.name || address === target.address,
  );
  const decided = context.traffic.of(vm.id).entries.filter((each) => isAbout(each, target));
  const times = (verdict: string) =>
    sum(
      decided.filter((each) => each.verdict === verdict),
      'count',
    );
  return {
    judgements: explain(vm.policy, target, here, addresses),
    held: held.map(({ name, address, expiresAtMs, ports }) => ({
      name,
      address,
      seconds: Math.ceil((expiresAtMs - Date.now()) / 1000),
      ports: ports.map(words),
    })),
    flows: flows.length,
    flowPackets: sum(flows, 'packets'),
    flowBytes: sum(flows, 'bytes'),
    proxied: proxied.length,
    timesAllowed: times('allow'),
    timesDenied: times('deny'),
  };
}

/** None, when the gate does not answer: the policy is explained all the same. */
async function connectionsOf(context: Context, id: string) {
  try {
    return await context.sharedNetwork.connections(id);
  } catch (error) {
    context.log.warn({ vm: id, error: messageOf(error) }, 'connections cannot be listed');
    return [];
  }
}

/** What was decided of the name, or of the address. */
function isAbout({ kind, what, address }: Decided, target: Target): boolean {
  if (target.name === undefined) return address === target.address;
  // "example.com TXT", "example.com", "GET http://example.com/path".
  const host = kind === 'http' ? /\/\/([^/:?# ]+)/.exec(what)?.[1] : what.split(' ')[0];
  return host?.toLowerCase() === target.name;
}

function sum<K extends string>(each: readonly Record<K, number>[], field: K): bigint {
  return BigInt(each.reduce((total, one) => total + one[field], 0));
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
