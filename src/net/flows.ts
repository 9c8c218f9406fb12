import { readFileSync } from 'node:fs';
import { inNetns } from '../host/ffi.ts';
import { isErrno } from '../host/failure.ts';
import { decider, type Packet, type VmSurroundings } from '../policy/decide.ts';
import type { Policy } from '../policy/policy.ts';
import type { PublishedPort } from '../policy/published-ports.ts';
import { isJudgedFlow } from './marks.ts';
import type { VmNetwork } from './plan.ts';

/** A flow that a guest began, as connection tracking where its rules are knows it. */
export interface Flow extends Packet {
  /** The guest's port; of TCP and UDP alone. */
  from?: number;
  /** It ended up where the guest sent it, not at vmsan's resolver. */
  direct: boolean;
  /** Both ways, so far; 0 of a flow that began before the host counted (nf_conntrack_acct). */
  packets: number;
  bytes: number;
}

/** What connection tracking lists where a VM's rules are, as of one moment. */
export interface FlowsThen {
  vm: VmNetwork;
  lines: string[];
}

/** Looks at the flows now, to count among them later. */
export function flowsNow(vm: VmNetwork): FlowsThen {
  return { vm, lines: tracked(vm) };
}

/**
 * How many of the flows that were open `after` ends: those that `before` let
 * through and `after` does not. 0 on a kernel that does not list flows.
 */
export function countClosed(
  flows: FlowsThen,
  before: { policy: Policy; world: VmSurroundings },
  after: { policy: Policy; world: VmSurroundings },
): number {
  const was = decider(before.policy, before.world);
  const is = decider(after.policy, after.world);
  return parseFlows(flows).filter(
    (flow) => flow.direct && was(flow).verdict === 'allow' && is(flow).verdict !== 'allow',
  ).length;
}

/** How many of the flows that others began with a VM are on ports that were published and are no more. */
export function countEntered({ vm, lines }: FlowsThen, gone: readonly PublishedPort[]): number {
  const ports = new Set(gone.map(({ protocol, guestPort }) => `${protocol} ${guestPort}`));
  return lines.filter((line) => {
    if (ENDED.test(line) || !isJudgedFlow(vm, markOf(line))) return false;
    const [, destination, port] = / dst=(\S+) .*? ?dport=(\d+)/.exec(line) ?? [];
    return destination === vm.guestIp && ports.has(`${line.split(/ +/)[2]} ${port}`);
  }).length;
}

/** A VM's open flows; none on a kernel that does not list them. */
export function flowsOf(vm: VmNetwork): Flow[] {
  return parseFlows(flowsNow(vm));
}

function parseFlows({ vm, lines }: FlowsThen): Flow[] {
  return lines.flatMap((line) => parseFlow(line, vm) ?? []);
}

function tracked(vm: VmNetwork): string[] {
  // CONFIG_NF_CONNTRACK_PROCFS; `self` would be the main thread's namespace.
  const path = '/proc/thread-self/net/nf_conntrack';
  try {
    return inNetns(vm.netnsPath, () => readFileSync(path, 'latin1')).split('\n');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

function markOf(line: string): number {
  return Number(/ mark=(\d+)/.exec(line)?.[1] ?? 0);
}

/** Not yet at its end. */
const ENDED = / (?:TIME_WAIT|CLOSE|LAST_ACK) /;

/**
 *     ipv4 2 tcp 6 431999 ESTABLISHED src=172.16.1.2 dst=203.0.113.20 sport=… dport=80 packets=5 bytes=403
 *       src=203.0.113.20 dst=172.16.1.2 sport=80 dport=… packets=4 bytes=912 [ASSURED] mark=1 … use=2
 *
 * (net/netfilter/nf_conntrack_standalone.c, ct_seq_show)
 */
export function parseFlow(line: string, vm: Pick<VmNetwork, 'guestIp' | 'netnsPath'>): Flow | null {
  // In the host's namespace most lines are somebody else's.
  if (!line.includes(` src=${vm.guestIp} `) || ENDED.test(line)) return null;
  // Accepted by a policy once.
  if (!isJudgedFlow(vm, markOf(line))) return null;
  const protocol = line.split(/ +/)[2];
  const [source, destination, answers] = [...line.matchAll(/(?:src|dst)=(\S+)/g)].map(
    ([, ip]) => ip,
  );
  if (source !== vm.guestIp || destination === undefined) return null;
  const port = Number(/ dport=(\d+)/.exec(line)?.[1] ?? NaN);
  const from = Number(/ sport=(\d+)/.exec(line)?.[1] ?? NaN);
  return {
    destination,
    protocol: protocol === 'tcp' || protocol === 'udp' || protocol === 'icmp' ? protocol : 'other',
    ...(Number.isNaN(port) ? {} : { port, from }),
    direct: answers === destination,
    packets: sumOf(line, / packets=(\d+)/g),
    bytes: sumOf(line, / bytes=(\d+)/g),
  };
}

function sumOf(line: string, numbers: RegExp): number {
  return [...line.matchAll(numbers)].reduce((sum, [, number]) => sum + Number(number), 0);
}
