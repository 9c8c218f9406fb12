import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';

/** How a program that outlives this process is started. */
export interface DetachedOptions {
  /** The descriptor of an append-only file for its stdout and stderr. */
  log: number;
  /** What it inherits as descriptors 3, 4, …: open descriptors, or a pipe to us. */
  inherit: readonly (number | 'pipe')[];
  env?: Record<string, string>;
}

/**
 * Starts a program in a session of its own, so that what ends this process
 * does not end it, with `/` as its directory and no environment but PATH and `env`.
 */
export function spawnDetached(argv: readonly string[], options: DetachedOptions): ChildProcess {
  const [file, ...args] = argv;
  if (file === undefined) throw new TypeError('spawnDetached: empty argv');
  const stdio: StdioOptions = ['ignore', options.log, options.log, ...options.inherit];
  const child: ChildProcess = spawn(file, args, {
    detached: true,
    stdio,
    cwd: '/',
    env: {
      PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin',
      LC_ALL: 'C',
      ...options.env,
    },
  });
  child.unref();
  return child;
}
