import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:os';

export interface ExecOptions {
  /** Written to stdin, which is then closed. Without it stdin is empty. */
  stdin?: string | Uint8Array;
  /** Added to the lab's clean environment. */
  env?: Record<string, string>;
  cwd?: string;
  /** Milliseconds until it is killed and `exec` throws. Default 30 000. */
  timeoutMs?: number;
  /** Throw when the exit code is not 0. Default false. */
  check?: boolean;
}

export interface ExecResult {
  /** 128 + the signal's number when a signal ended it, as in a shell. */
  exitCode: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs a program to its end, and all of its process group when time is up.
 * @throws Error when it cannot be started, is not done in time, or (`check`) fails
 */
export async function runCommand(
  argv: readonly string[],
  shown: readonly string[],
  options: ExecOptions & { env: Record<string, string> },
): Promise<ExecResult> {
  const child = spawn(argv[0]!, argv.slice(1), {
    env: options.env,
    stdio: [options.stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    // A process group of its own: nsenter's child must go with it.
    detached: true,
  });
  child.stdin?.on('error', () => {});
  child.stdin?.end(options.stdin);
  const stdout = collect(child.stdout!);
  const stderr = collect(child.stderr!);

  const timeoutMs = options.timeoutMs ?? 30_000;
  let late = '';
  const deadline = setTimeout(() => {
    const ended = child.exitCode !== null || child.signalCode !== null;
    late = ended
      ? `ended, but something it started still holds its output open after ${timeoutMs} ms`
      : `not done after ${timeoutMs} ms`;
    killGroup(child);
    child.stdout?.destroy();
    child.stderr?.destroy();
  }, timeoutMs);
  try {
    const exitCode = await closed(child);
    const result = { exitCode, stdout: stdout(), stderr: stderr() };
    if (late !== '') throw new Error(describe(shown, late, result));
    if (options.check === true && exitCode !== 0) {
      throw new Error(describe(shown, `exited with ${exitCode}`, result));
    }
    return result;
  } finally {
    clearTimeout(deadline);
  }
}

/** Kills a detached child and the process group it leads. */
export function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // Gone already.
  }
}

/** Resolves with the exit code once the child has ended and its streams are read. */
export function closed(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? 128 + signalNumber(signal)));
  });
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString();
}

function signalNumber(signal: NodeJS.Signals | null): number {
  return signal === null ? 0 : constants.signals[signal];
}

function describe(argv: readonly string[], what: string, result: ExecResult): string {
  const words = [`${argv.join(' ')}: ${what}`];
  if (result.stdout !== '') words.push(`stdout: ${result.stdout.trimEnd()}`);
  if (result.stderr !== '') words.push(`stderr: ${result.stderr.trimEnd()}`);
  return words.join('\n');
}
