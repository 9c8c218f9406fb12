import {
  connect,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type OutgoingHttpHeaders,
} from 'node:http2';
import type { Socket } from 'node:net';
import { AgentService } from '../gen/vmsan/v1/agent_pb.js';
import { Failure } from '../host/failure.ts';

/** The HTTP/2 connection to an agent that may be hostile: bounded, and watched. */
export interface AgentSession {
  /** False once it has ended, or the agent wants no more calls. */
  readonly open: boolean;
  /** Resolves when it is gone, whoever ended it. */
  readonly closed: Promise<void>;
  /** Starts a call. @throws Failure `unavailable` when the session is not open */
  request(headers: OutgoingHttpHeaders): ClientHttp2Stream;
  close(): void;
}

export const AUTHORITY = 'http://agent';
/** The only call whose answer is long. */
export const EXEC_PATH = `/${AgentService.typeName}/Exec`;

/**
 * The agent runs at most 32 execs. When the readers of all of them stall, their
 * windows still leave room in the connection's for everything else.
 */
const STREAM_WINDOW = 256 * 1024;
const CONNECTION_WINDOW = 16 * 1024 * 1024;
const SESSION_MEMORY_MIB = 32;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_HEADERS = 64;
const MAX_FRAME_BYTES = 1024 * 1024;

/**
 * What the agent may send while no exec is open: short answers, and the rest of
 * execs that were given up, which fits in the connection's window. Every frame costs the
 * daemon's one thread time, also those that HTTP/2 lets anyone send for ever.
 */
const IDLE_BYTES = 2 * CONNECTION_WINDOW;
const WATCH_MS = 250;

/**
 * Speaks HTTP/2 on a channel whose next byte is the first of the agent's.
 * @throws Failure `unavailable` when the agent speaks something else
 */
export async function startSession(socket: Socket): Promise<AgentSession> {
  const session = connect(AUTHORITY, {
    // Only a native socket will do: with another Duplex streams end early.
    createConnection: () => socket,
    settings: {
      enablePush: false,
      initialWindowSize: STREAM_WINDOW,
      maxHeaderListSize: MAX_HEADER_BYTES,
      maxFrameSize: MAX_FRAME_BYTES,
    },
    maxSessionMemory: SESSION_MEMORY_MIB,
    maxHeaderListPairs: MAX_HEADERS,
    maxReservedRemoteStreams: 0,
  });
  let why: Error | undefined;
  // Without a listener an error would end this process.
  session.on('error', (error) => (why = error));
  // Until the agent has confirmed our settings HTTP/2 lets it push.
  session.on('stream', () => session.destroy(new Error('the agent pushes')));
  const closed = new Promise<void>((resolve) => session.once('close', resolve));
  const connected = new Promise<void>((resolve) => session.once('connect', () => resolve()));
  await Promise.race([connected, closed]);
  if (session.destroyed) {
    const message = 'the guest’s agent broke off the connection';
    throw new Failure('unavailable', message, { cause: why });
  }
  session.setLocalWindowSize(CONNECTION_WINDOW);
  const execs = new Set<ClientHttp2Stream>();
  watch(session, socket, execs);
  const isOpen = () => !session.closed && !session.destroyed;
  return {
    get open() {
      return isOpen();
    },
    closed,
    request(headers) {
      if (!isOpen()) {
        throw new Failure('unavailable', 'the connection to the guest’s agent is gone');
      }
      const stream = session.request(headers);
      if (headers[':path'] === EXEC_PATH) {
        execs.add(stream);
        stream.once('close', () => execs.delete(stream));
      }
      return stream;
    },
    close() {
      session.destroy();
      // Which waits for the agent to read what was sent before.
      socket.destroy();
    },
  };
}

/** Ends a session whose agent sends without end although no exec is open. */
function watch(
  session: ClientHttp2Session,
  socket: Socket,
  execs: ReadonlySet<ClientHttp2Stream>,
): void {
  let asked = socket.bytesRead;
  const timer = setInterval(() => {
    if (execs.size > 0) asked = socket.bytesRead;
    else if (socket.bytesRead - asked > IDLE_BYTES) {
      session.destroy(new Error('the agent sends without end although nobody asked it'));
    }
    // A destroyed session waits until the agent has read what was sent to it.
    if (session.destroyed) socket.destroy();
  }, WATCH_MS).unref();
  session.once('close', () => clearInterval(timer));
}
