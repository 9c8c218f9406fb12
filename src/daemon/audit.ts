import { setTimeout as delay } from 'node:timers/promises';
import { Battery } from '../audit/battery.ts';
import type { Judged } from '../audit/attempt.ts';
import type { OldFlow, Site } from '../audit/site.ts';
import { Witness } from '../audit/witness.ts';
import { Failure } from '../host/failure.ts';
import { flowsOf } from '../net/flows.ts';
import { listeningPort } from '../net/listeners.ts';
import type { VmNetwork } from '../net/plan.ts';
import { decider, type VmSurroundings } from '../policy/decide.ts';
import { domainMatcher } from '../policy/domain-matcher.ts';
import { normalName } from '../policy/domain.ts';
import type { VmRecord } from '../store/store.ts';
import { networkOf, type Context } from './context.ts';
import { agentOf } from './exec-forward.ts';
import { findVm } from './find.ts';
import { runProbe } from './probe.ts';
import { surroundingsOf } from './policy.ts';

export interface Audit {
  vm: VmRecord;
  attempts: Judged[];
}

export interface AuditRequest {
  vm: string;
  /** Empty: none. */
  rebindingName: string;
}

/** The guest's last frame may be on its way when the guest says that it is done. */
const LAST_FRAME_MS = 2_000;
const LOOK_MS = 20;

/**
 * Attacks a running VM's policy from inside, and says how each attempt ended:
 * by what came back to the guest, and by what was seen at the host's end of its
 * link. Nothing of the VM or its policy is changed.
 * @throws Failure
 */
export async function auditVm(context: Context, request: AuditRequest): Promise<Audit> {
  const vm = findVm(context.store, request.vm);
  const agent = await agentOf(context, vm.id);
  if (context.audits.has(vm.id)) {
    throw new Failure('conflict', `${vm.name} is being audited already`);
  }
  context.audits.add(vm.id);
  try {
    const site = siteOf(context, vm, request);
    const battery = new Battery(site);
    // Without a netns the link is the guest's own: all is seen there, let out or not.
    using witness = site.vm.netns === undefined ? BLIND : new Witness(site.vm.hostLink);
    const output = await runProbe(agent, vm.name, battery.input);
    const end = performance.now() + LAST_FRAME_MS;
    while (!witness.seen(battery.lastToken).whole && performance.now() < end) await delay(LOOK_MS);
    const attempts = battery.judge(output, witness.seen(battery.lastToken));
    const now = findVm(context.store, vm.id);
    if (now.generation !== vm.generation) {
      throw new Failure('conflict', `the policy of ${vm.name} was changed during its audit`, {
        hint: `vmsan audit ${vm.name}`,
      });
    }
    return { vm, attempts };
  } finally {
    context.audits.delete(vm.id);
  }
}

const BLIND: Pick<Witness, 'seen' | typeof Symbol.dispose> = {
  seen: () => ({ frames: [], whole: false }),
  [Symbol.dispose]() {},
};

function siteOf(context: Context, vm: VmRecord, { rebindingName }: AuditRequest): Site {
  const network = networkOf(context, vm);
  const learned = context.leases.learned(vm);
  const name = rebindingName === '' ? undefined : normalName(rebindingName);
  if (name === null) throw new Failure('bad_input', `"${rebindingName}" is no name`);
  const world = { ...surroundingsOf(context.host), gateway: network.gatewayIp, learned };
  return {
    policy: vm.policy,
    vm: network,
    host: context.host,
    world,
    neighbours: context.store
      .vms()
      .filter((other) => other.id !== vm.id && context.live.has(other.id))
      .map((other) => networkOf(context, other)),
    listeningAt: listeningPort,
    oldFlows: oldFlows(vm, network, world),
    ...(name === undefined ? {} : { rebindingName: name }),
  };
}

/**
 * Open flows that the policy forbids. Those that a name's address once opened may
 * go on by right when it holds that address no longer.
 */
function oldFlows({ policy }: VmRecord, network: VmNetwork, world: VmSurroundings): OldFlow[] {
  // What the host's table holds leaves the VM's own by right.
  const judge = decider(policy, { ...world, hostAddresses: [] });
  const { covers } = domainMatcher(policy.domains);
  const forbidden = flowsOf(network).flatMap((flow): OldFlow[] => {
    const { protocol, destination, from, port, direct } = flow;
    if (!direct || from === undefined || port === undefined) return [];
    if (protocol !== 'tcp' && protocol !== 'udp') return [];
    if (judge(flow).verdict === 'allow' || (covers(protocol, port) && !isWeb(port))) return [];
    return [{ protocol, destination, from, to: port }];
  });
  return forbidden.toSorted((a, b) => a.protocol.localeCompare(b.protocol));
}

/** Never by address under domain rules. */
function isWeb(port: number): boolean {
  return port === 80 || port === 443;
}
