import {
  constants,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { pipeline } from 'node:stream';
import { VM_HEADER } from '../api/handshake.ts';
import { AgentService } from '../gen/vmsan/v1/agent_pb.js';
import type { GuestAgent } from '../guest/agent.ts';
import { Failure } from '../host/failure.ts';
import type { Context } from './context.ts';
import { findVm } from './find.ts';

/** The only call of the agent's that users make; its path on both sockets. */
export const EXEC_PATH = `/${AgentService.typeName}/Exec`;

/** Headers that belong to one connection, or are for us alone. */
const NOT_FORWARDED = new Set([':authority', ':scheme', 'host', VM_HEADER]);

/**
 * The agent of the VM that an Exec call names in its header.
 * @throws Failure when there is none, it does not run, or its agent does not answer
 */
export async function execTarget(context: Context, headers: Headers): Promise<GuestAgent> {
  const vm = findVm(context.store, decodeURIComponent(headers.get(VM_HEADER) ?? ''));
  const live = context.live.get(vm.id);
  if (live === undefined) {
    throw new Failure('conflict', `${vm.name} is ${vm.state}, so nothing can run in it`);
  }
  const agent = await live.agent.catch(() => null);
  if (agent !== null && !agent.session.closed && !agent.session.destroyed) return agent;
  throw new Failure('unavailable', `the agent of ${vm.name} does not answer`, {
    hint: `vmsan rm --force ${vm.name}`,
  });
}

/**
 * Forwards one Exec stream to the agent, unopened, with back-pressure both
 * ways. The Connect protocol keeps its end-of-stream message in the body, so
 * there are no trailers to forward.
 */
export function forwardExec(
  agent: GuestAgent,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): void {
  const kept = Object.entries(headers).filter(([name]) => !NOT_FORWARDED.has(name));
  const upstream: ClientHttp2Stream = agent.session.request({
    ...Object.fromEntries(kept),
    ':authority': 'agent',
  });
  upstream.on('response', (answer: IncomingHttpHeaders) => {
    // A copy: Node marks what it received with symbols that it refuses to send.
    if (!stream.destroyed) stream.respond(Object.fromEntries(Object.entries(answer)));
  });
  stream.pipe(upstream);
  // The agent may be done while its caller still has stdin to send: only the
  // answer's way decides how the stream ends.
  pipeline(upstream, stream, (error) => {
    if (error === undefined || error === null) return;
    for (const side of [upstream, stream]) {
      if (!side.closed) side.close(constants.NGHTTP2_CANCEL);
    }
  });
  for (const side of [upstream, stream]) side.on('error', () => {});
}
