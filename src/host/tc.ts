import { inNamespace } from './ip.ts';
import { run } from './run.ts';

/**
 * Runs `commands` of tc(8) in order, in one process, stopping at the first that fails.
 * @param netns a name as `ip netns` lists it; the process's own when undefined
 * @throws CommandFailed
 */
export async function tcBatch(
  netns: string | undefined,
  commands: readonly string[],
): Promise<void> {
  await run(['tc', ...inNamespace(netns), '-batch', '-'], { stdin: `${commands.join('\n')}\n` });
}
