import { existsSync, readdirSync, rmdirSync } from 'node:fs';
import { closeFd, inNetns, openTap } from '../host/ffi.ts';
import { ipBatch } from '../host/ip.ts';
import { nftables } from '../host/nft.ts';
import { run } from '../host/run.ts';
import { linkExists, writeSysctl } from '../host/sysctl.ts';
import { isLimited, type Bandwidth } from '../policy/bandwidth.ts';
import type { Policy } from '../policy/policy.ts';
import type { PublishedPort } from '../policy/published-ports.ts';
import { setBandwidth } from './bandwidth.ts';
import { connectBareTap, removeBare, setBareTapUp } from './bare-links.ts';
import { renderLearnedChange, type Learned } from './learned.ts';
import { NETNS_DIR, type HostNetwork, type VmNetwork } from './plan.ts';
import { addProhibition } from './prohibition.ts';
import { CLOSED_FLOW_SECONDS, renderVmCaps } from './vm-caps.ts';
import { renderVmCounters } from './vm-counters.ts';
import { renderVmFrames } from './vm-frames.ts';
import { renderVmRuleset } from './vm-ruleset.ts';

/**
 * The kernel objects of one VM's network. The netns is the anchor: it is made
 * first, with nothing in it, and removed last. The ruleset is in force before
 * any link is up. What a VM without a netns has instead is in bare-links.ts.
 */

/** Makes what comes first and goes last: the netns, or without one what forbids its TAP all that nobody judged. */
export async function addAnchor(vm: VmNetwork): Promise<void> {
  if (vm.netns === undefined) await addProhibition(vm.tap);
  else await run(['ip', 'netns', 'add', vm.netns]);
}

/**
 * Makes the TAP and loads the ruleset, with every link still down.
 * @returns the TAP's descriptor; the TAP goes when the last copy is closed
 */
export function openGuardedTap(
  vm: VmNetwork,
  host: HostNetwork,
  policy: Policy,
  generation: number,
  learned: readonly Learned[] = [],
  published: readonly PublishedPort[] = [],
): number {
  return inNetns(vm.netnsPath, () => {
    if (vm.netnsPath !== undefined) setNetnsUp();
    const tap = openTap(vm.tap);
    try {
      if (vm.netnsPath === undefined) setBareTapUp(vm);
      const ruleset = renderVmRuleset(vm, host, policy, generation, learned, generation, published);
      nftables(undefined, renderVmFrames(vm) + ruleset + renderConstant(vm, host));
      return tap;
    } catch (error) {
      closeFd(tap);
      throw error;
    }
  });
}

/** Settings of a new netns, before there is a link in it. */
function setNetnsUp(): void {
  // Before any link is up: a default link sends router solicitations at once.
  writeSysctl('net/ipv6/conf/all/disable_ipv6', '1');
  writeSysctl('net/ipv6/conf/default/disable_ipv6', '1');
  // A packet in the middle of a flow that nobody saw begin is invalid.
  writeSysctl('net/netfilter/nf_conntrack_tcp_loose', '0');
  // A refusal is said each time: the guest's own packets alone cause it (ip-sysctl, icmp_ratelimit).
  writeSysctl('net/ipv4/icmp_ratelimit', '0');
  writeSysctl('net/netfilter/nf_conntrack_tcp_timeout_time_wait', String(CLOSED_FLOW_SECONDS));
  // For `explain`: what went through a flow.
  writeSysctl('net/netfilter/nf_conntrack_acct', '1');
}

/** Joins a VM to the host and brings its links up, with their limits in force. */
export async function connectLinks(vm: VmNetwork, bandwidth: Bandwidth): Promise<void> {
  if (vm.netnsPath === undefined) await connectBareTap(vm, bandwidth);
  else await connectNetns(vm, bandwidth);
}

/** By a veth pair. */
async function connectNetns(vm: VmNetwork, bandwidth: Bandwidth): Promise<void> {
  await ipBatch(undefined, [
    `link add name ${vm.hostLink} type veth peer name ${vm.uplink} netns ${vm.netns}`,
  ]);
  writeSysctl(`net/ipv6/conf/${vm.hostLink}/disable_ipv6`, '1');
  if (isLimited(bandwidth)) await setBandwidth(vm, bandwidth);
  await ipBatch(vm.netns, [
    `link set dev lo up`,
    `link set dev ${vm.tap} address ${vm.gatewayMac}`,
    `address add ${vm.gatewayIp}/30 dev ${vm.tap}`,
    `link set dev ${vm.tap} up`,
    // Known, not asked for: the guest's frames are requests alone, so none would answer, and after
    // eight seconds what is for it would be dropped.
    `neighbour replace ${vm.guestIp} lladdr ${vm.guestMac} dev ${vm.tap} nud permanent`,
    `address add ${vm.transitVmIp}/31 dev ${vm.uplink}`,
    `link set dev ${vm.uplink} up`,
    `route add default via ${vm.transitHostIp}`,
  ]);
  inNetns(vm.netnsPath, () => writeSysctl('net/ipv4/ip_forward', '1'));
  await ipBatch(undefined, [
    `address add ${vm.transitHostIp}/31 dev ${vm.hostLink}`,
    `link set dev ${vm.hostLink} up`,
    `route add ${vm.subnet} via ${vm.transitVmIp} dev ${vm.hostLink}`,
  ]);
  writeSysctl(`net/ipv4/conf/${vm.hostLink}/forwarding`, '1');
}

/** Replaces the policy of a VM in one transaction, what names hold included. */
export function replaceRuleset(
  vm: VmNetwork,
  host: HostNetwork,
  policy: Policy,
  generation: number,
  learned: readonly Learned[] = [],
  since = generation,
  published: readonly PublishedPort[] = [],
): void {
  const text = renderVmRuleset(vm, host, policy, generation, learned, since, published);
  nftables(vm.netnsPath, text);
}

/**
 * Lets a VM's link carry packets from and to 127.0.0.0/8, which published ports
 * need for who comes by localhost: the host's table is in force, which lets
 * nothing in but answers.
 */
export function setLoopback(vm: VmNetwork, on: boolean): void {
  writeSysctl(`net/ipv4/conf/${vm.hostLink}/route_localnet`, on ? '1' : '0');
}

/** Puts `added` in the place of `removed` in what names hold, in one transaction. */
export function changeLearned(
  vm: VmNetwork,
  removed: readonly Learned[],
  added: readonly Learned[],
): void {
  nftables(vm.netnsPath, renderLearnedChange(vm.table, removed, added));
}

/** Renews what no policy changes, which an earlier vmsan may have made otherwise. What is counted stays. */
export function replaceConstantRules(vm: VmNetwork, host: HostNetwork): void {
  nftables(vm.netnsPath, renderVmFrames(vm) + renderConstant(vm, host));
}

function renderConstant(vm: VmNetwork, host: HostNetwork): string {
  return renderVmCaps(vm, host) + renderVmCounters(vm);
}

/** Removes the netns and with it every link of the VM, or what stands for it. Already gone is success. */
export async function removeAnchor(vm: VmNetwork): Promise<void> {
  if (vm.netns === undefined) await removeBare(vm.hostLink);
  else if (existsSync(vm.netnsPath!)) await run(['ip', 'netns', 'delete', vm.netns]);
}

/** Whether `ip netns` has been used on this host: at its first use it makes a directory and a mount. */
export function netnsDirectoryExists(): boolean {
  return existsSync(NETNS_DIR);
}

/** Takes both away again, unless somebody else's netns is there by now. */
export async function removeNetnsDirectory(): Promise<void> {
  if (!existsSync(NETNS_DIR) || readdirSync(NETNS_DIR).length > 0) return;
  await run(['umount', NETNS_DIR]);
  rmdirSync(NETNS_DIR);
}

/**
 * The link goes with its netns, or with its TAP's last descriptor, a moment after it: the kernel dismantles
 * namespaces in the background. Deleting it here makes that moment ours.
 */
export async function removeHostLink(vm: VmNetwork): Promise<void> {
  if (linkExists(vm.hostLink)) await run(['ip', 'link', 'delete', 'dev', vm.hostLink]);
}
