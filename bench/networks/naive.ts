import type { HostNetwork, VmNetwork } from '../../src/net/plan.ts';
import { run } from '../../src/host/run.ts';
import { renderVmRuleset } from '../../src/net/vm-ruleset.ts';
import type { Policy } from '../../src/policy/policy.ts';

/**
 * The same network the way a script makes it: one command after the other,
 * each a process of its own, and the ruleset by `nft -f`.
 */
export async function makeNaively(vm: VmNetwork, host: HostNetwork, policy: Policy): Promise<void> {
  const inside = (...words: string[]) => run(['ip', 'netns', 'exec', vm.netns!, ...words]);
  const ip = (words: string) => run(['ip', ...words.split(' ')]);
  await ip(`netns add ${vm.netns}`);
  for (const where of ['all', 'default']) {
    await inside('sysctl', '-qw', `net.ipv6.conf.${where}.disable_ipv6=1`);
  }
  await inside('sysctl', '-qw', 'net.netfilter.nf_conntrack_tcp_loose=0');
  await inside('sysctl', '-qw', 'net.ipv4.icmp_ratelimit=0');
  await inside('ip', 'tuntap', 'add', 'dev', vm.tap, 'mode', 'tap');
  await run(['ip', 'netns', 'exec', vm.netns!, 'nft', '-f', '-'], {
    stdin: renderVmRuleset(vm, host, policy, 1),
  });
  await ip(`link add name ${vm.hostLink} type veth peer name ${vm.uplink} netns ${vm.netns}`);
  await run(['sysctl', '-qw', `net.ipv6.conf.${vm.hostLink}.disable_ipv6=1`]);
  await inside('ip', 'link', 'set', 'dev', 'lo', 'up');
  await inside('ip', 'link', 'set', 'dev', vm.tap, 'address', vm.gatewayMac);
  await inside('ip', 'address', 'add', `${vm.gatewayIp}/30`, 'dev', vm.tap);
  await inside('ip', 'link', 'set', 'dev', vm.tap, 'up');
  const neighbour = `neighbour replace ${vm.guestIp} lladdr ${vm.guestMac} dev ${vm.tap} nud permanent`;
  await inside('ip', ...neighbour.split(' '));
  await inside('ip', 'address', 'add', `${vm.transitVmIp}/31`, 'dev', vm.uplink);
  await inside('ip', 'link', 'set', 'dev', vm.uplink, 'up');
  await inside('ip', 'route', 'add', 'default', 'via', vm.transitHostIp);
  await inside('sysctl', '-qw', 'net.ipv4.ip_forward=1');
  await ip(`address add ${vm.transitHostIp}/31 dev ${vm.hostLink}`);
  await ip(`link set dev ${vm.hostLink} up`);
  await ip(`route add ${vm.subnet} via ${vm.transitVmIp} dev ${vm.hostLink}`);
  await run(['sysctl', '-qw', `net.ipv4.conf.${vm.hostLink}.forwarding=1`]);
  for (const element of elementsOf(vm)) await run(['nft', `add element inet vmsan ${element}`]);
}

export async function removeNaively(vm: VmNetwork): Promise<void> {
  await run([
    'ip',
    'netns',
    'exec',
    vm.netns!,
    'ip',
    'tuntap',
    'del',
    'dev',
    vm.tap,
    'mode',
    'tap',
  ]);
  await run(['ip', 'link', 'delete', 'dev', vm.hostLink]);
  await run(['ip', 'netns', 'delete', vm.netns!]);
  for (const element of elementsOf(vm)) await run(['nft', `delete element inet vmsan ${element}`]);
}

/** What a VM is in the host's table. */
function elementsOf(vm: VmNetwork): string[] {
  return [
    `vm_links { "${vm.hostLink}" }`,
    `vms { "${vm.hostLink}" . ${vm.guestIp} }`,
    `guests { ${vm.guestIp} }`,
  ];
}
