import { isDeepStrictEqual } from 'node:util';
import { rateOf } from '../api/values.ts';
import { Failure, messageOf } from '../host/failure.ts';
import { refuseBareLimit, setBandwidth } from '../net/bandwidth.ts';
import { countClosed, countEntered, flowsNow, type FlowsThen } from '../net/flows.ts';
import { replaceRuleset, setLoopback } from '../net/vm-links.ts';
import { rateText, type Bandwidth } from '../policy/bandwidth.ts';
import { mergeCidrs } from '../policy/cidr.ts';
import { portText } from '../policy/published-ports.ts';
import { policyFlags, type Policy } from '../policy/policy.ts';
import type { VmRecord } from '../store/store.ts';
import { networkOf, type Context } from './context.ts';
import { findVm } from './find.ts';
import { readRequest, surroundingsOf, type PolicyRequest } from './policy.ts';
import {
  changedPorts,
  holdPorts,
  letPortsGo,
  refuseBarePorts,
  portNotices,
  type PortChange,
  type PortsRequest,
} from './ports.ts';
import { runSteps, type Step } from './steps.ts';

/** What a change ends. */
export interface Closed {
  /** Flows that were open and that `after` forbids, but for proxied ones. */
  flowsClosed: number;
  /** Proxied connections that it forbids. */
  connectionsClosed: number;
  /** Addresses that names held and that it does not let them hold. */
  leasesDropped: number;
}

/** What a change did. When it is given, the kernel enforces `after`. */
export interface Receipt {
  before: VmRecord;
  after: VmRecord;
  /** From the request's arrival to the kernel's commit; 0 when nothing was changed. */
  effectiveMs: number;
  closed: Closed;
  /** How the request was read, for the user. */
  notices: string[];
}

/** A request to replace a policy, to publish ports, or to set limits. */
export interface NetworkRequest extends PolicyRequest, PortsRequest {
  vm: string;
  dryRun: boolean;
  /** Bits a second; 0: no limit; undefined: as before. */
  bandwidthOut?: bigint | undefined;
  bandwidthIn?: bigint | undefined;
}

/**
 * Replaces a VM's policy as a unit, while it runs, changes its ports and sets
 * its limits: each only when it is named. A new generation makes the kernel judge every flow
 * again at its next packet.
 */
export async function setNetwork(context: Context, request: NetworkRequest): Promise<Receipt> {
  const arrived = performance.now();
  const named = saysPolicy(request) ? readRequest(context.host, request) : null;
  const limits = limitsOf(request);
  const { id, ...found } = findVm(context.store, request.vm);
  if (
    named === null &&
    Object.keys(limits).length === 0 &&
    changedPorts({ id, ...found }, request) === null
  ) {
    throw new Failure('bad_input', 'the request names nothing to change');
  }
  const notices = named?.notices ?? [];
  return context.turns.run(id, async () => {
    const before = findVm(context.store, id);
    if (before.state !== 'running' && before.state !== 'stopped') {
      throw new Failure('conflict', `${before.name} is ${before.state}`);
    }
    const after: VmRecord = { ...before, bandwidth: { ...before.bandwidth, ...limits } };
    refuseBareLimit(after, after.bandwidth);
    if (named !== null) {
      if (request.policy === '') refuseToLoosen(before, named.policy);
      Object.assign(after, { policy: named.policy, generation: before.generation + 1 });
    }
    const ports = changedPorts(before, request);
    if (ports !== null) {
      // Those that are gone are told from those that are not as policies are, by the mark of their flows.
      Object.assign(after, { ports: ports.ports, generation: before.generation + 1 });
      refuseBarePorts(after);
    }
    const count = flowCounter(context, before, after);
    if (request.dryRun) {
      const leasesDropped = context.leases.wouldDrop(after);
      const connectionsClosed = await connectionsEnded(context, after);
      const closed = { flowsClosed: count(), connectionsClosed, leasesDropped };
      return { before, after, effectiveMs: 0, closed, notices };
    }
    const ended = { connectionsClosed: 0, leasesDropped: 0 };
    await runSteps('network', changeSteps(context, before, after, ended, ports));
    if (ports !== null) notices.push(...portNotices(after, ports.ports));
    const effectiveMs = performance.now() - arrived;
    context.events.add('network', after, changeText(before, after));
    return { before, after, effectiveMs, closed: { flowsClosed: count(), ...ended }, notices };
  });
}

/** @param ended is added to */
function changeSteps(
  context: Context,
  before: VmRecord,
  after: VmRecord,
  ended: Pick<Closed, 'connectionsClosed' | 'leasesDropped'>,
  change: PortChange | null,
): Step[] {
  const { id, policy, generation } = after;
  const gone = change?.gone ?? [];
  const network = networkOf(context, after);
  const limit = async ({ state, bandwidth }: VmRecord) => {
    if (state === 'running') await setBandwidth(network, bandwidth);
  };
  const record: Step = {
    // First: after a crash here, the next daemon renders what the user asked for.
    name: 'record what is wanted',
    do: () => context.store.updateVm(after),
    undo: () => context.store.updateVm(before),
  };
  const limitBandwidth: Step = {
    name: 'limit its bandwidth',
    do: () => limit(after),
    undo: () => limit(before),
  };
  const sameLimits = isDeepStrictEqual(before.bandwidth, after.bandwidth);
  const hold = change === null ? [] : [holdPorts(context, before, after, gone)];
  const first = [...hold, record, ...(sameLimits ? [] : [limitBandwidth])];
  if (before.generation === generation) return first;
  return [
    ...first,
    {
      name: 'tell the gate, and the host’s table',
      do: async () => {
        ended.connectionsClosed += await context.sharedNetwork.change(id, after);
        if (change !== null && after.state === 'running') {
          setLoopback(network, after.ports.length > 0);
        }
      },
      undo: async () => {
        await context.sharedNetwork.change(id, before);
        if (change !== null && before.state === 'running') {
          setLoopback(network, before.ports.length > 0);
        }
      },
    },
    {
      // One transaction: when it fails nothing was changed.
      name: 'replace the ruleset',
      do: () => {
        if (after.state !== 'running') return;
        // What the old policy decided is explained by the old policy.
        context.traffic.look(id);
        const { ports } = after;
        ended.leasesDropped += context.leases.change(
          after,
          network,
          (learned, since) =>
            replaceRuleset(network, context.host, policy, generation, learned, since, ports),
          { narrower: gone.length > 0 },
        );
        context.traffic.begin(id);
      },
    },
    ...(change === null ? [] : [letPortsGo(context, after, gone)]),
  ];
}

/**
 * Counts the open flows that a change ends, of those that are open when this is called (a flow
 * that the change resets has ended when the change is done), by what names hold then. Judging
 * them is left for later: the change itself does not wait for it.
 */
function flowCounter(context: Context, before: VmRecord, after: VmRecord): () => number {
  if (before.state !== 'running' || before.generation === after.generation) return () => 0;
  const network = networkOf(context, before);
  const flows = openFlows(context, before);
  const world = { ...surroundingsOf(context.host), gateway: network.gatewayIp };
  const was = {
    policy: before.policy,
    world: { ...world, learned: context.leases.learned(before) },
  };
  const is = { policy: after.policy, world: { ...world, learned: context.leases.learned(after) } };
  const gone = before.ports.filter(
    ({ protocol, guestPort }) =>
      !after.ports.some((port) => port.protocol === protocol && port.guestPort === guestPort),
  );
  return () => countClosed(flows, was, is) + countEntered(flows, gone);
}

/** A running VM's flows; none when they cannot be read: a change does not fail for that. */
function openFlows(context: Context, vm: VmRecord): FlowsThen {
  const network = networkOf(context, vm);
  try {
    return flowsNow(network);
  } catch (error) {
    context.log.warn({ vm: vm.id, error: messageOf(error) }, 'flows cannot be counted');
    return { vm: network, lines: [] };
  }
}

/** Whether a request names a policy at all. */
function saysPolicy(request: NetworkRequest): boolean {
  const { policy, allowedDomains, allowedCidrs, deniedCidrs } = request;
  return (
    policy !== '' || [allowedDomains, allowedCidrs, deniedCidrs].some((list) => list.length > 0)
  );
}

/** The limits that a request names. */
function limitsOf({ bandwidthOut, bandwidthIn }: NetworkRequest): Partial<Bandwidth> {
  return {
    ...(bandwidthOut === undefined ? {} : { out: rateOf(bandwidthOut) }),
    ...(bandwidthIn === undefined ? {} : { in: rateOf(bandwidthIn) }),
  };
}

/** A change in a few words, for its event. */
function changeText(before: VmRecord, after: VmRecord): string {
  const policy = `${before.policy.base} -> ${after.policy.base}`;
  const [was, is] = [before, after].map(({ ports }) => ports.map(portText));
  const ports = [
    ...was!.filter((text) => !is!.includes(text)).map((text) => `no more ${text}`),
    ...is!.filter((text) => !was!.includes(text)).map((text) => `published ${text}`),
  ];
  const samePolicy = before.generation === after.generation || before.policy === after.policy;
  const limits = (['out', 'in'] as const)
    .filter((way) => before.bandwidth[way] !== after.bandwidth[way])
    .map((way) => `${way} ${rateText(after.bandwidth[way])}`);
  return [...(samePolicy ? [] : [policy]), ...ports, ...limits].join(', ');
}

/** How many proxied connections a change would end; 0 when the gate does not say. */
async function connectionsEnded(context: Context, { id, policy, generation }: VmRecord) {
  try {
    return await context.sharedNetwork.wouldEnd(id, policy, generation);
  } catch (error) {
    context.log.warn({ vm: id, error: messageOf(error) }, 'connections cannot be counted');
    return 0;
  }
}

/** Lists alone may narrow what a VM reaches, or widen it by what they name; no more. */
function refuseToLoosen({ name, policy: now }: VmRecord, wanted: Policy): void {
  if (now.default !== 'deny' || wanted.default !== 'allow') return;
  const denied = mergeCidrs([...now.denied, ...wanted.denied]);
  const stillDeny = policyFlags({ ...now, base: 'custom', denied });
  throw new Failure(
    'bad_input',
    `${name} denies by default, and these lists alone would allow by default; nothing was changed`,
    {
      hint:
        `to go on denying: vmsan network ${name} ${stillDeny} -- ` +
        `to allow all the rest: vmsan network ${name} ${policyFlags(wanted)}`,
    },
  );
}
