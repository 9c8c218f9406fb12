import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { identify, isAlive, killProcess, type ProcessIdentity } from '../../src/host/process.ts';
import { closed, runCommand, type ExecOptions, type ExecResult } from './command.ts';
import { until } from './until.ts';
import { TREE } from './paths.ts';

/**
 * PID 1 of a machine: makes the mounts, says which process it is to those
 * outside, and reaps. While it lives the machine's namespaces do; when it is
 * killed the kernel kills all that runs in them.
 */
const HOLDER = `set -eu
read -r pid rest </proc/self/stat
mount -t proc proc /proc
eval "$1"
echo "ready $pid"
exec </dev/null >/dev/null 2>&1
set +e
while :; do sleep infinity & wait; done`;

const PATH = `${TREE}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;

export interface MachineOptions {
  /** sh that makes its mounts, run in the new namespaces. */
  setup: string;
  /** True: it lives on when this process ends. False: it is killed with it, however it ends. */
  persistent: boolean;
}

/** A network, mount and process namespace, and commands run inside. */
export class Machine {
  readonly holder: ProcessIdentity;

  private constructor(holder: ProcessIdentity) {
    this.holder = holder;
  }

  /** @throws Error with what `setup` wrote to stderr; nothing is left then */
  static async start(options: MachineOptions): Promise<Machine> {
    const unshare =
      'unshare --net --mount --pid --fork --kill-child --propagation private --'.split(' ');
    const argv = options.persistent ? unshare : ['setpriv', '--pdeathsig', 'KILL', ...unshare];
    const child = spawn(argv[0]!, [...argv.slice(1), 'sh', '-c', HOLDER, 'lab', options.setup], {
      env: cleanEnvironment(),
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const ready = /^ready (\d+)$/.exec(await firstLine(child, "the lab's namespaces"));
    letGo(child);
    const holder = identify(Number(ready?.[1]));
    if (holder === null) throw new Error("the lab's PID 1 has ended");
    return new Machine(holder);
  }

  /** The machine that `holder` keeps, started by another process. */
  static attach(holder: ProcessIdentity): Machine {
    return new Machine(holder);
  }

  /** The process id of its PID 1, as seen from outside. */
  get pid(): number {
    return this.holder.pid;
  }

  get alive(): boolean {
    return isAlive(this.holder);
  }

  /** The command line that runs `argv` inside. */
  enter(argv: readonly string[], cwd = '/'): string[] {
    const into = ['--target', String(this.pid), '--net', '--mount', '--pid'];
    return ['nsenter', ...into, `--wdns=${cwd}`, '--', ...argv];
  }

  /** Runs a program inside to its end. Its environment is the lab's, not the caller's. */
  exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    return runCommand(this.enter(argv, options.cwd), argv, {
      ...options,
      env: cleanEnvironment(options.env),
    });
  }

  /** Starts a program inside. It leads a process group of its own; the caller ends it (`killGroup`). */
  spawn(
    argv: readonly string[],
    options: { env?: Record<string, string>; cwd?: string; stdio?: StdioOptions } = {},
  ): ChildProcess {
    const [file, ...rest] = this.enter(argv, options.cwd);
    return spawn(file!, rest, {
      env: cleanEnvironment(options.env),
      stdio: options.stdio ?? ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
  }

  /** Kills it with everything inside; resolves when all of that is gone. */
  async stop(): Promise<void> {
    killProcess(this.holder);
    // A PID 1 is gone only after the kernel has reaped all that ran below it.
    await until(`process ${this.pid} and its namespace are gone`, () => !this.alive, {
      deadlineMs: 20_000,
    });
  }
}

/** What a program in the lab sees: nothing of the caller's settings. */
export function cleanEnvironment(more: Record<string, string> = {}): Record<string, string> {
  return { PATH, HOME: '/root', LANG: 'C.UTF-8', TERM: process.env.TERM ?? 'dumb', ...more };
}

/**
 * The first line a child prints: its word that it is ready.
 * @throws Error with its stderr when it ends before
 */
export async function firstLine(child: ChildProcess, what: string): Promise<string> {
  let out = '';
  let err = '';
  child.stderr?.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const line = new Promise<string>((resolve) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      out += chunk.toString();
      const end = out.indexOf('\n');
      if (end >= 0) resolve(out.slice(0, end));
    });
  });
  const ended = closed(child).then((exitCode) => {
    throw new Error(`${what}: ended with ${exitCode} before it was ready: ${err.trim()}`);
  });
  ended.catch(() => {});
  return await Promise.race([line, ended]);
}

/** Lets this process end while the child runs on. */
export function letGo(child: ChildProcess): void {
  child.stdout?.destroy();
  child.stderr?.destroy();
  child.unref();
}
