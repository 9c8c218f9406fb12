import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ExecRequestSchema, ExecStartSchema } from '../../src/gen/vmsan/v1/agent_pb.js';
import type { GuestAgent } from '../../src/guest/agent.ts';
import { until } from '../lab/until.ts';

type Request = MessageInitShape<typeof ExecRequestSchema>;
type Start = MessageInitShape<typeof ExecStartSchema>;

export interface Outcome {
  stdout: string;
  stderr: string;
  code: number;
  signal: number;
}

/** Runs a process through the agent, to its end. */
export function execIn(agent: GuestAgent, start: Start, stdin?: Uint8Array): Promise<Outcome> {
  return startIn(agent, start, stdin).end;
}

export interface Running {
  end: Promise<Outcome>;
  /** Waits until stdout has begun with `text`. */
  output(text: string): Promise<void>;
  signal(number: number): void;
  /** Ends the call without waiting for the process. */
  leave(): void;
}

const CHUNK = 64 * 1024;

/** Starts a process through the agent. */
export function startIn(agent: GuestAgent, start: Start, stdin?: Uint8Array): Running {
  const abort = new AbortController();
  const queue: Request[] = [{ message: { case: 'start', value: { ...start, stdin: !!stdin } } }];
  for (let at = 0; stdin !== undefined && at < stdin.length; at += CHUNK) {
    queue.push({ message: { case: 'stdin', value: stdin.subarray(at, at + CHUNK) } });
  }
  if (stdin !== undefined) queue.push({ message: { case: 'stdinEnd', value: {} } });
  let more = Promise.withResolvers<void>();
  let ended = false;
  const wake = () => {
    more.resolve();
    more = Promise.withResolvers<void>();
  };
  async function* requests(): AsyncGenerator<Request> {
    for (;;) {
      const next = queue.shift();
      if (next !== undefined) yield next;
      else if (ended) return;
      else await more.promise;
    }
  }
  const seen: Outcome = { stdout: '', stderr: '', code: -1, signal: 0 };
  const follow = async (): Promise<Outcome> => {
    for await (const { message } of agent.client.exec(requests(), { signal: abort.signal })) {
      if (message.case === 'stdout') seen.stdout += Buffer.from(message.value).toString();
      if (message.case === 'stderr') seen.stderr += Buffer.from(message.value).toString();
      if (message.case === 'exited') Object.assign(seen, pick(message.value));
      if (message.case === 'failed') seen.code = message.value.code;
      ended = message.case === 'exited' || message.case === 'failed';
      if (ended) wake();
    }
    return seen;
  };
  const end = follow();
  // Of a call that was left, nobody asks how it ended.
  end.catch(() => {});
  return {
    end,
    async output(text) {
      await until(`the output begins with ${text.trim()}`, () => seen.stdout.startsWith(text));
    },
    signal(number) {
      queue.push({ message: { case: 'signal', value: number } });
      wake();
    },
    leave: () => abort.abort(),
  };
}

function pick({ code, signal }: { code: number; signal: number }) {
  return { code, signal };
}
