import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { CommandFailed } from '../../src/host/run.ts';

/**
 * Runs a program that takes its time and says so line by line.
 * @param onLine called with each line of its stdout and stderr
 * @throws CommandFailed with the last 20 lines as its stderr
 */
export async function follow(
  argv: readonly [string, ...string[]],
  onLine: (line: string) => void,
  options: { cwd?: string; env?: Record<string, string>; stdin?: string } = {},
): Promise<void> {
  const [file, ...args] = argv;
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: { ...process.env, LC_ALL: 'C', ...options.env },
    stdio: [options.stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  // A program that ends without reading its stdin is judged by its exit code.
  child.stdin?.on('error', () => {});
  child.stdin?.end(options.stdin);
  const tail: string[] = [];
  for (const input of [child.stdout, child.stderr]) {
    if (input === null) continue;
    createInterface({ input }).on('line', (line) => {
      tail.push(line);
      if (tail.length > 20) tail.shift();
      onLine(line);
    });
  }
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.on('error', (cause) => {
    reject(
      new CommandFailed(argv, { exitCode: null, signal: null, stderr: cause.message }, { cause }),
    );
  });
  child.on('close', (exitCode, signal) => {
    if (exitCode === 0) resolve();
    else reject(new CommandFailed(argv, { exitCode, signal, stderr: tail.join('\n') }));
  });
  await promise;
}
