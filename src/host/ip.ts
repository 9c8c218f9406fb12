import { run } from './run.ts';

/** iproute2, in batches: one process for many commands. */

/**
 * Runs `commands` in order, stopping at the first that fails.
 * @param netns a name as `ip netns` lists it; the process's own when undefined
 * @throws CommandFailed
 */
export async function ipBatch(
  netns: string | undefined,
  commands: readonly string[],
): Promise<void> {
  await run(['ip', ...inNamespace(netns), '-batch', '-'], { stdin: `${commands.join('\n')}\n` });
}

/** What `ip -json <args>` prints. */
export async function ipJson<T>(netns: string | undefined, args: readonly string[]): Promise<T[]> {
  const { stdout } = await run(['ip', ...inNamespace(netns), '-json', ...args]);
  return stdout.trim() === '' ? [] : (JSON.parse(stdout) as T[]);
}

/** The arguments by which ip(8) and tc(8) enter a namespace. */
export function inNamespace(netns: string | undefined): string[] {
  return netns === undefined ? [] : ['-netns', netns];
}
