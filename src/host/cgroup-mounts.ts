/** The controllers we use; cgroups(7). */
export type Controller = 'cpu' | 'memory' | 'pids';
export const CONTROLLERS: readonly Controller[] = ['cpu', 'memory', 'pids'];

/** A tree of control groups, and the directory in it below which we make ours. */
export interface Hierarchy {
  version: 1 | 2;
  base: string;
  /** Those of our controllers that it has. */
  controllers: readonly Controller[];
}

/**
 * Where this host has our controllers. Of v1 the base is the group this
 * process is in: what bounds that bounds ours too. Of v2 it is the top, since
 * there a group with processes in it cannot have limited children.
 * @param mountinfo /proc/self/mountinfo
 * @param own /proc/self/cgroup
 * @param available the text of a v2 group's `cgroup.controllers`
 */
export function findHierarchies(
  mountinfo: string,
  own: string,
  available: (group: string) => string,
): Hierarchy[] {
  const found: Hierarchy[] = [];
  const left = new Set(CONTROLLERS);
  const take = (version: 1 | 2, base: string, there: readonly string[]) => {
    const controllers = CONTROLLERS.filter((name) => left.has(name) && there.includes(name));
    if (controllers.length === 0) return;
    for (const name of controllers) left.delete(name);
    found.push({ version, base, controllers });
  };
  const mounts = mountinfo.split('\n').flatMap((line) => parseMount(line) ?? []);
  for (const { type, point, root, options } of mounts) {
    if (type === 'cgroup') take(1, point + below(root, pathOf(own, options)), options);
  }
  for (const { type, point } of mounts) {
    if (type === 'cgroup2') take(2, point, available(point).trim().split(' '));
  }
  return found;
}

interface Mount {
  type: string;
  point: string;
  /** The group that is mounted there. */
  root: string;
  /** Of the file system: v1's controllers are among them. */
  options: string[];
}

/**
 *     35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
 *
 * (proc_pid_mountinfo(5): root, mount point, options, optional fields, "-", type, source, options)
 */
function parseMount(line: string): Mount | null {
  const [mount, fileSystem] = line.split(' - ');
  const [, , , root, point] = mount?.split(' ') ?? [];
  const [type, , options] = fileSystem?.split(' ') ?? [];
  if (root === undefined || point === undefined || type === undefined) return null;
  return { type, point, root, options: options?.split(',') ?? [] };
}

/** The group of a v1 hierarchy in /proc/self/cgroup: `4:memory:/some/group`. */
function pathOf(own: string, options: readonly string[]): string {
  for (const line of own.split('\n')) {
    const [, names = '', ...path] = line.split(':');
    if (names !== '' && names.split(',').some((name) => options.includes(name))) {
      return path.join(':');
    }
  }
  return '/';
}

/** A container's mounts may show a part of the tree: then the path is told from the whole. */
function below(root: string, path: string): string {
  const relative = root !== '/' && path.startsWith(root) ? path.slice(root.length) : path;
  return relative === '/' ? '' : relative;
}
