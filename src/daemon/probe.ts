import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { ExecRequestSchema, type ExecRequest } from '../gen/vmsan/v1/agent_pb.js';
import type { GuestAgent } from '../guest/agent.ts';
import { Failure, messageOf } from '../host/failure.ts';

/** The agent's own program has the probe in it: nothing of the guest's is needed. */
const ARGV = ['/proc/1/exe', 'probe'];
const DEADLINE_MS = 90_000;
/** What a guest may answer: some hundred frames and conversations have a tenth of it. */
const MOST_BYTES = 8 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;

/**
 * Runs the probe in a guest.
 * @returns what it printed; it is the guest's
 * @throws Failure when it does not end by itself in time, or prints too much
 */
export async function runProbe(agent: GuestAgent, vm: string, input: string): Promise<string> {
  const ended = Promise.withResolvers<void>();
  async function* requests(): AsyncGenerator<ExecRequest> {
    yield request({ case: 'start', value: { argv: ARGV, cwd: '/', stdin: true } });
    const bytes = Buffer.from(input);
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      yield request({ case: 'stdin', value: bytes.subarray(at, at + CHUNK_BYTES) });
    }
    yield request({ case: 'stdinEnd', value: {} });
    // Ending the requests earlier would kill it.
    await ended.promise;
  }
  const output: Uint8Array[] = [];
  const words: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const { message } of agent.client.exec(requests(), { timeoutMs: DEADLINE_MS })) {
      if (message.case === 'stdout' || message.case === 'stderr') {
        bytes += message.value.length;
        if (bytes > MOST_BYTES) throw new Failure('exhausted', `the guest of ${vm} says too much`);
        (message.case === 'stdout' ? output : words).push(message.value);
      } else if (message.case === 'failed') {
        throw new Failure('unavailable', `the probe cannot be run: ${message.value.message}`);
      } else if (message.case === 'exited') {
        ended.resolve();
        if (message.value.code === 0) return Buffer.concat(output).toString();
        throw tooOld(vm, Buffer.concat(words).toString());
      }
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure('unavailable', `the probe in ${vm}: ${messageOf(error).slice(0, 300)}`);
  } finally {
    ended.resolve();
  }
  throw new Failure('unavailable', `the guest of ${vm} never said how its probe ended`);
}

function request(message: NonNullable<MessageInitShape<typeof ExecRequestSchema>['message']>) {
  return create(ExecRequestSchema, { message });
}

function tooOld(vm: string, words: string): Failure {
  return new Failure('unavailable', `the probe in ${vm} failed: ${words.slice(0, 300)}`, {
    hint: `an older agent has none: vmsan stop ${vm} && vmsan start ${vm}`,
  });
}
