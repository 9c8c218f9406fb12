import type { Lab } from '../lab/lab.ts';

/**
 * What a VM may leave on the lab's host, one finding a line: kernel objects, processes, files,
 * settings. A process that has ended and waits to be reaped is gone.
 */
const LOOK = `
  ip netns; ip rule; ip -o link; ip -4 -o address; ip -4 route show table all; nft -s list ruleset
  cd /proc/sys/net/ipv4/conf && grep . */forwarding ../ip_forward; cd /
  ls -A /run /run/vmsan/vms /var/lib/vmsan/vms 2>/dev/null
  ps -eo stat=,comm= | awk '$1 !~ /^Z/ && $2 ~ /^(qemu|node|MainThread)/ { print $2 }' | sort
  cat /proc/mounts
  find /sys/fs/cgroup -type d -path "*/vmsan-$(stat -L -c %i /proc/self/ns/net)*"
`;

/**
 * The lab's host as text, to compare a before with an after. Links come and
 * go with new numbers; nothing else differs when nothing was left.
 */
export async function hostState(lab: Lab): Promise<string> {
  const { stdout } = await lab.exec(['sh', '-c', LOOK]);
  return stdout.replaceAll(/^\d+: /gm, '');
}
