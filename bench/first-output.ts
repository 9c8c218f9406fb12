import { execCall } from '../src/api/agent.ts';
import type { Connection } from '../src/api/client.ts';
import type { GuestAgent } from '../src/guest/agent.ts';

/** Runs `argv` by the agent itself. @returns the moment (`performance.now()`) of its first output */
export async function firstOutput(agent: GuestAgent, argv: string[]): Promise<number> {
  const over = Promise.withResolvers<void>();
  async function* requests() {
    yield { message: { case: 'start' as const, value: { argv } } };
    await over.promise;
  }
  let first: number | undefined;
  try {
    for await (const { message } of agent.client.exec(requests())) {
      if (message.case === 'stdout') first ??= performance.now();
      if (message.case === 'exited') over.resolve();
      if (message.case === 'failed') throw new Error(`${argv.join(' ')}: ${message.value.message}`);
    }
  } finally {
    over.resolve();
    agent.close();
  }
  return seen(first, argv);
}

/** The same through the daemon's API. */
export async function firstOutputByApi(
  daemon: Connection,
  vm: string,
  argv: string[],
): Promise<number> {
  const call = await execCall(daemon, vm);
  void call.send({ case: 'start', value: { argv } });
  let first: number | undefined;
  for await (const message of call.responses()) {
    if (message.case === 'stdout') first ??= performance.now();
    if (message.case === 'exited' || message.case === 'failed') call.end();
  }
  return seen(first, argv);
}

function seen(first: number | undefined, argv: readonly string[]): number {
  if (first === undefined) throw new Error(`${argv.join(' ')} printed nothing`);
  return first;
}
