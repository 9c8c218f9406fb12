/**
 * What one process may use, soft and hard alike (getrlimit(2)); `nproc` counts
 * the threads of all processes of its user.
 */
export type Rlimits = Partial<
  Record<'core' | 'data' | 'fsize' | 'memlock' | 'msgqueue' | 'nofile' | 'nproc', number>
>;

/** The words that start a program under `limits`, in front of its own; the process stays the same. */
export function prlimitArgv(limits: Rlimits): string[] {
  const words = Object.entries(limits).map(([name, value]) => `--${name}=${value}:${value}`);
  return ['prlimit', ...words, '--'];
}
