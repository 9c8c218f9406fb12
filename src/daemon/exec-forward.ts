import {
  constants,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import { pipeline } from 'node:stream';
import { VM_HEADER } from '../api/handshake.ts';
import type { GuestAgent } from '../guest/agent.ts';
import { Failure } from '../host/failure.ts';
import type { Context } from './context.ts';
import { standsStill } from './disk-space.ts';
import { findVm } from './find.ts';

/** The only call of the agent's that users make has the same path on both sockets. */
export { EXEC_PATH } from '../guest/session.ts';

/** Tells the caller that it was not us (src/api/http.ts): a word that HTTP/2 has for proxies. */
const GUEST_BROKE_OFF = constants.NGHTTP2_CONNECT_ERROR;

/** Headers that belong to one connection, or are for us alone. */
const NOT_FORWARDED = new Set([':authority', ':scheme', 'host', VM_HEADER]);

/**
 * The agent of the VM that an Exec call names in its header.
 * @throws Failure when there is none, it does not run, or its agent does not answer
 */
export async function execTarget(context: Context, headers: Headers): Promise<GuestAgent> {
  return agentOf(context, decodeURIComponent(headers.get(VM_HEADER) ?? ''));
}

/**
 * The agent of a VM that the user names.
 * @throws Failure when there is none, it does not run, or its agent does not answer
 */
export async function agentOf(context: Context, reference: string): Promise<GuestAgent> {
  const vm = findVm(context.store, reference);
  const live = context.live.get(vm.id);
  if (live === undefined) {
    throw new Failure('conflict', `${vm.name} is ${vm.state}, so nothing can run in it`);
  }
  if (live.machine.stall !== null) throw standsStill(context, vm, live.machine.stall);
  let cause: unknown;
  try {
    const agent = await live.agent;
    if (agent.open) return agent;
  } catch (error) {
    if (error instanceof Failure && error.code === 'conflict') {
      throw new Failure('conflict', `${vm.name}: ${error.message}`, {
        hint: `vmsan stop ${vm.name} && vmsan start ${vm.name}: it boots with the agent of now`,
      });
    }
    cause = error;
  }
  throw new Failure('unavailable', `the agent of ${vm.name} does not answer`, {
    hint: `vmsan stop ${vm.name}`,
    cause,
  });
}

/**
 * Each Exec holds up to a stream's window (256 KiB) of what its caller does not
 * read: 256 MiB in all, whatever the guests send.
 */
const MAX_FORWARDED = 1024;
let forwarded = 0;

/** @throws Failure `exhausted` when the daemon forwards as many as it may */
export function checkRoomForExec(): void {
  if (forwarded < MAX_FORWARDED) return;
  throw new Failure(
    'exhausted',
    `${MAX_FORWARDED} commands run in guests at once, and no more may`,
  );
}

/**
 * Forwards one Exec stream to the agent, unopened, with back-pressure both
 * ways. The Connect protocol keeps its end-of-stream message in the body, so
 * there are no trailers to forward. What the agent answers may be anything: what
 * HTTP/2 does not let us hand on ends the stream.
 * @throws Failure `unavailable` when the agent has gone meanwhile
 */
export function forwardExec(
  agent: GuestAgent,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): void {
  const kept = Object.entries(headers).filter(([name]) => !NOT_FORWARDED.has(name));
  const upstream: ClientHttp2Stream = agent.request({
    ...Object.fromEntries(kept),
    ':authority': 'agent',
  });
  forwarded += 1;
  upstream.once('close', () => (forwarded -= 1));
  upstream.on('response', (answer: IncomingHttpHeaders) => {
    if (stream.destroyed) return;
    try {
      // A copy: Node marks what it received with symbols that it refuses to send.
      stream.respond(Object.fromEntries(Object.entries(answer)));
    } catch {
      stream.close(GUEST_BROKE_OFF);
    }
  });
  stream.pipe(upstream);
  // The agent may be done while its caller still has stdin to send: only the
  // answer's way decides how the stream ends.
  pipeline(upstream, stream, (error) => {
    if (error === undefined || error === null) return;
    if (!upstream.closed) upstream.close(constants.NGHTTP2_CANCEL);
    if (!stream.closed) stream.close(GUEST_BROKE_OFF);
  });
  for (const side of [upstream, stream]) side.on('error', () => {});
}
