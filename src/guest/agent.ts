import { createClient, type Client } from '@connectrpc/connect';
import { createConnectTransport, type ConnectTransportOptions } from '@connectrpc/connect-node';
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { AgentService } from '../gen/vmsan/v1/agent_pb.js';
import { Failure } from '../host/failure.ts';
import { openChannel } from './channel.ts';

/**
 * The agent of a running guest. It is the guest's, so hostile: what it may
 * send is bounded here, in bytes and in time.
 */
export interface GuestAgent {
  readonly client: Client<typeof AgentService>;
  /** The connection itself, for streams that are forwarded unopened. */
  readonly session: ClientHttp2Session;
  /** Resolves when the connection is gone, whoever ended it. */
  readonly closed: Promise<void>;
  /**
   * Ends every process of the guest, leaves its disk clean and powers it off.
   * The monitor's process ends soon after.
   * @throws ConnectError when the guest does not answer within the grace and ten seconds
   */
  shutdown(graceMs: number): Promise<void>;
  /** Ends the connection, and so every exec in it. */
  close(): void;
}

/** Larger messages are refused on both sides; the agent has the same limit. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
/**
 * The agent runs at most 32 execs. When the readers of all of them stall, their
 * windows still leave room in the connection's for everything else.
 */
const STREAM_WINDOW = 256 * 1024;
const CONNECTION_WINDOW = 16 * 1024 * 1024;
const SESSION_MEMORY_MIB = 32;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_FRAME_BYTES = 1024 * 1024;
const SETTLE_MS = 10_000;

/**
 * Connects to the agent behind QEMU's socket, waiting for the guest to boot if
 * need be.
 * @throws Failure `timeout` after `deadlineMs`; the reason of `signal` when it is aborted
 */
export async function connectAgent(
  socketPath: string,
  options: { deadlineMs: number; signal?: AbortSignal },
): Promise<GuestAgent> {
  const socket = await openChannel(socketPath, options);
  const session = await startSession(socket);
  const closed = new Promise<void>((resolve) => session.once('close', resolve));
  const client = createClient(
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
  const close = () => session.destroy();
  return {
    client,
    session,
    closed,
    close,
    async shutdown(graceMs) {
      try {
        await client.shutdown({ graceMs }, { timeoutMs: graceMs + SETTLE_MS });
      } finally {
        // The agent turns the power off when its host has hung up.
        close();
      }
    },
  };
}

const AUTHORITY = 'http://agent';

async function startSession(socket: Socket): Promise<ClientHttp2Session> {
  const session = connectHttp2(AUTHORITY, {
    // Only a native socket will do: with another Duplex streams end early.
    createConnection: () => socket,
    settings: {
      enablePush: false,
      initialWindowSize: STREAM_WINDOW,
      maxHeaderListSize: MAX_HEADER_BYTES,
      maxFrameSize: MAX_FRAME_BYTES,
    },
    maxSessionMemory: SESSION_MEMORY_MIB,
  });
  // Without a listener an error would end this process; `closed` tells it all.
  session.on('error', () => {});
  await once(session, 'connect');
  session.setLocalWindowSize(CONNECTION_WINDOW);
  return session;
}

type SessionManager = NonNullable<
  Extract<ConnectTransportOptions, { httpVersion: '2' }>['sessionManager']
>;

/** One session, never replaced: a new one would need a new handshake. */
function onlySession(session: ClientHttp2Session): SessionManager {
  return {
    authority: AUTHORITY,
    async request(method, path, headers, options) {
      if (session.closed || session.destroyed) {
        throw new Failure('unavailable', 'the connection to the guest’s agent is gone');
      }
      return session.request({ ...headers, ':method': method, ':path': path }, options);
    },
    notifyResponseByteRead() {},
  };
}
