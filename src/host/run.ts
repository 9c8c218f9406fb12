import { spawn } from 'node:child_process';

/** The seam to other programs: array argv, never a shell, `LC_ALL=C`. */
export interface RunOptions {
  /** Written to the program's stdin, which is then closed. Without it stdin is /dev/null. */
  stdin?: string | Uint8Array;
  /** Milliseconds until the program is killed. Default 30 000. */
  timeoutMs?: number;
  cwd?: string;
  /** Added to the caller's environment. */
  env?: Record<string, string>;
}

export interface RunResult {
  stdout: string;
  stderr: string;
}

/** A program that could not be started, was killed, or exited with another code than 0. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
  readonly argv: readonly string[];
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;

  constructor(
    argv: readonly string[],
    end: { exitCode: number | null; signal: NodeJS.Signals | null; stderr: string },
    options?: { cause?: unknown },
  ) {
    const how =
      end.exitCode !== null
        ? `exited with ${end.exitCode}`
        : end.signal !== null
          ? `was ended by ${end.signal}`
          : 'could not be started';
    const words = end.stderr.trim();
    super(`${argv.join(' ')} ${how}${words === '' ? '' : `: ${words}`}`, options);
    this.argv = argv;
    this.exitCode = end.exitCode;
    this.signal = end.signal;
    this.stderr = end.stderr;
  }
}

/**
 * Runs a program to its end.
 * @returns its stdout and stderr as text
 * @throws CommandFailed
 */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [file, ...args] = argv;
  if (file === undefined) throw new TypeError('run: empty argv');
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      cwd: options.cwd,
      env: { ...process.env, LC_ALL: 'C', ...options.env },
      stdio: [options.stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    // spawn's own `timeout` goes on after a program that could not be started (Node 24).
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 30_000);
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => err.push(chunk));
    // A program that ends without reading its stdin is judged by its exit code.
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.stdin);
    child.on('error', (cause) => {
      clearTimeout(timer);
      reject(
        new CommandFailed(argv, { exitCode: null, signal: null, stderr: cause.message }, { cause }),
      );
    });
    child.on('close', (exitCode, signal) => {
      clearTimeout(timer);
      const stdout = Buffer.concat(out).toString();
      const stderr = Buffer.concat(err).toString();
      if (exitCode === 0) resolve({ stdout, stderr });
      else reject(new CommandFailed(argv, { exitCode, signal, stderr }));
    });
  });
}
