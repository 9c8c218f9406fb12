import { run } from './run.ts';

/**
 * Runs `commands` of tc(8) in order, in one process, stopping at the first that fails.
 * @param netns a name as `ip netns` lists it
 * @throws CommandFailed
 */
export async function tcBatch(netns: string, commands: readonly string[]): Promise<void> {
  await run(['tc', '-netns', netns, '-batch', '-'], { stdin: `${commands.join('\n')}\n` });
}
