import type { LabPaths } from './paths.ts';

/** The internet only hides what the machine has running: it needs no files of its own. */
export const INTERNET_SETUP = 'mount -t tmpfs -o mode=755,size=16m tmpfs /run';

/**
 * sh that gives the lab's host a file system of its own, where that matters:
 *
 * - /run: empty. No socket of the machine's own daemon, no netns of the machine.
 * - /etc, /var/lib: the machine's, with changes kept in the lab's directory and
 *   without the machine's own vmsan.
 * - /sys: shows this netns' links; the cgroups stay the machine's.
 *
 * Everything else, the image cache among it, is shared with the machine. Mounts
 * are shared within the lab, as systemd makes them on a real host.
 */
export function hostSetup(paths: LabPaths): string {
  const overlay = (target: string, upper: string, work: string) =>
    `mount -t overlay overlay -o lowerdir=${target},upperdir=${upper},workdir=${work} ${target}
rm -rf ${target}/vmsan`;
  return `
mount -t sysfs sysfs ${paths.sys}
mount --rbind /sys/fs/cgroup ${paths.sys}/fs/cgroup
mount --move ${paths.sys} /sys
mount -t tmpfs -o mode=755,size=256m tmpfs /run
mkdir -m 1777 /run/lock
${overlay('/etc', paths.etc, paths.etcWork)}
${overlay('/var/lib', paths.varLib, paths.varLibWork)}
mount --make-rshared /`;
}
