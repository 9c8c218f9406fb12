import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError, createClient, type Client } from '@connectrpc/connect';
import { createConnectTransport, type ConnectTransportOptions } from '@connectrpc/connect-node';
import type { ClientHttp2Stream, OutgoingHttpHeaders } from 'node:http2';
import {
  AgentService,
  type ConfigureRequestSchema,
  type ExecInfo,
} from '../gen/vmsan/v1/agent_pb.js';
import { Failure, messageOf } from '../host/failure.ts';
import { openChannel } from './channel.ts';
import { AUTHORITY, startSession, type AgentSession } from './session.ts';

/**
 * The agent of a running guest. It is the guest's, so hostile: what it may
 * send is bounded, in bytes and in time.
 */
export interface GuestAgent {
  /** Without deadlines: those of its calls that this interface has too are for it alone. */
  readonly client: Client<typeof AgentService>;
  /** False once the connection is gone, or the agent wants no more calls. */
  readonly open: boolean;
  /** Resolves when the connection is gone, whoever ended it. */
  readonly closed: Promise<void>;
  /** Gives the guest its identity. @throws Failure when it does not answer in time, or refuses */
  configure(identity: MessageInitShape<typeof ConfigureRequestSchema>): Promise<void>;
  /** Starts a call that is forwarded unopened. @throws Failure `unavailable` when the connection is gone */
  request(headers: OutgoingHttpHeaders): ClientHttp2Stream;
  /**
   * Ends every process of the guest, leaves its disk clean and powers it off.
   * The monitor's process ends soon after.
   * @throws Failure when the guest does not answer within the grace and ten seconds
   */
  shutdown(graceMs: number): Promise<void>;
  /** What Exec has started and that can be attached to. @throws Failure when it does not answer in time */
  listExecs(): Promise<ExecInfo[]>;
  /** Ends the connection. Processes that Exec started in it go on. */
  close(): void;
}

/** Larger messages are refused on both sides; the agent has the same limit. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
/** What a call may take that only has to be answered, unless told otherwise. */
const ANSWER_MS = 10_000;
/** How long the first try waits for the first answer; each next one twice as long. */
const FIRST_ANSWER_MS = 2_000;
/** The agent's own words, in a message to the user. */
const MAX_WORDS = 300;

/**
 * Connects to the agent behind QEMU's socket, waiting for the guest to boot if
 * need be.
 * @throws Failure `timeout` after `deadlineMs`; the reason of `signal` when it is aborted;
 *   `unavailable` when what answers is no agent; `conflict` when it is one of a vmsan
 *   so much older or newer that the two do not understand each other
 */
export async function connectAgent(
  socketPath: string,
  options: { deadlineMs: number; answerMs?: number; signal?: AbortSignal },
): Promise<GuestAgent> {
  const { answerMs = ANSWER_MS } = options;
  const end = performance.now() + options.deadlineMs;
  for (let patience = FIRST_ANSWER_MS; ; patience *= 2) {
    const deadlineMs = end - performance.now();
    const session = await startSession(await openChannel(socketPath, { ...options, deadlineMs }));
    const client = clientOf(session);
    try {
      refuseUnknown(await describe(client, Math.min(patience, answerMs)));
      return agentOf(session, client, answerMs);
    } catch (error) {
      session.close();
      options.signal?.throwIfAborted();
      // The guest's kernel tells of a host's end and of the next one's bytes in any
      // order. An agent that hears last of the end takes it for ours, and the rest of
      // ours for nobody's: it answers the next hello.
      if (!isLate(error) || performance.now() + patience >= end) throw told('Describe', error);
    }
  }
}

function clientOf(session: AgentSession): Client<typeof AgentService> {
  return createClient(
    AgentService,
    createConnectTransport({
      baseUrl: AUTHORITY,
      httpVersion: '2',
      sessionManager: onlySession(session),
      acceptCompression: [],
      readMaxBytes: MAX_MESSAGE_BYTES,
      writeMaxBytes: MAX_MESSAGE_BYTES,
    }),
  );
}

function agentOf(
  session: AgentSession,
  client: Client<typeof AgentService>,
  answerMs: number,
): GuestAgent {
  const { closed, close } = session;
  return {
    client,
    get open() {
      return session.open;
    },
    closed,
    close,
    request: (headers) => session.request(headers),
    async configure(identity) {
      try {
        await client.configure(identity, { timeoutMs: answerMs });
      } catch (error) {
        throw told('Configure', error);
      }
    },
    async listExecs() {
      try {
        return (await client.listExecs({}, { timeoutMs: answerMs })).execs;
      } catch (error) {
        throw told('ListExecs', error);
      }
    },
    async shutdown(graceMs) {
      try {
        await client.shutdown({ graceMs }, { timeoutMs: graceMs + answerMs });
      } catch (error) {
        throw told('Shutdown', error);
      } finally {
        // The agent turns the power off when its host has hung up.
        close();
      }
    },
  };
}

/** The protocols of agent.proto that this daemon speaks: an agent lives as long as its VM. */
const OLDEST_PROTOCOL = 1;
const NEWEST_PROTOCOL: number = 1;
const SPOKEN = [...new Set([OLDEST_PROTOCOL, NEWEST_PROTOCOL])].join(' to ');

interface Described {
  protocol: number;
  version: string;
}

/** Which agent it is. Those from before Describe was there speak the first protocol. */
async function describe(
  client: Client<typeof AgentService>,
  timeoutMs: number,
): Promise<Described> {
  try {
    return await client.describe({}, { timeoutMs });
  } catch (error) {
    if (error instanceof ConnectError && error.code === Code.Unimplemented) {
      return { protocol: 1, version: '0.1.0' };
    }
    throw error;
  }
}

function refuseUnknown({ protocol, version }: Described): void {
  if (protocol >= OLDEST_PROTOCOL && protocol <= NEWEST_PROTOCOL) return;
  const its = `the guest’s agent is of vmsan ${version.slice(0, 40)} and speaks protocol ${protocol}`;
  throw new Failure('conflict', `${its}, this daemon ${SPOKEN}`);
}

function isLate(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.DeadlineExceeded;
}

/** One short failure, although the agent may have said much. */
function told(call: string, error: unknown): Failure {
  if (error instanceof Failure) return error;
  const words = messageOf(error).slice(0, MAX_WORDS);
  return new Failure('unavailable', `the guest’s agent, asked to ${call}: ${words}`);
}

type SessionManager = NonNullable<
  Extract<ConnectTransportOptions, { httpVersion: '2' }>['sessionManager']
>;

/** One session, never replaced: a new one would need a new handshake. */
function onlySession(session: AgentSession): SessionManager {
  return {
    authority: AUTHORITY,
    async request(method, path, headers) {
      return session.request({ ...headers, ':method': method, ':path': path });
    },
    notifyResponseByteRead() {},
  };
}
