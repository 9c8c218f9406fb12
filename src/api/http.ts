import type { IncomingMessage } from 'node:http';
import type { ClientHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { Failure, isErrno } from '../host/failure.ts';

/**
 * HTTP over a socket that `dial` opens, one connection per call. Node's modules
 * come by `process.getBuiltinModule`: an `import` of `node:http` reads every
 * export, which loads all of undici and costs a command 30 ms instead of 3.
 */

/** The daemon's end of a connection is gone before its answer was complete. */
export class DaemonGone extends Failure {
  constructor(cause?: unknown) {
    // That a connection was closed is no cause that tells more.
    const known = cause === undefined || isErrno(cause, ...CLOSED);
    super('unavailable', 'the daemon went away', {
      hint: 'vmsan daemon status',
      ...(known ? {} : { cause }),
    });
  }
}

const CLOSED = [
  'ECONNRESET',
  'EPIPE',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_HTTP2_STREAM_CANCEL',
  'ERR_HTTP2_STREAM_ERROR',
  'ERR_HTTP2_SESSION_ERROR',
];

/** Opens a connection to the daemon. What it throws reaches the caller as it is. */
export type Dial = () => Promise<Socket>;

/**
 * Posts one body over HTTP/1.1 and returns when the response begins.
 * @throws DaemonGone when the connection breaks off; an abort's reason
 */
export async function post(
  dial: Dial,
  path: string,
  headers: Record<string, string>,
  body: Uint8Array,
  signal?: AbortSignal,
): Promise<IncomingMessage> {
  const socket = await dial();
  return new Promise((resolve, reject) => {
    const request = process.getBuiltinModule('node:http').request({
      createConnection: () => socket,
      method: 'POST',
      path,
      headers: { ...headers, 'content-length': body.length },
      ...(signal === undefined ? {} : { signal }),
    });
    request.on('error', (cause) => reject(signal?.aborted ? signal.reason : new DaemonGone(cause)));
    request.on('response', resolve);
    request.end(body);
  });
}

/** A POST whose request and response flow at the same time. */
export interface Exchange {
  /** Resolves when more may be written. What comes after the end is dropped. */
  write(data: Uint8Array): Promise<void>;
  /** Ends the request. */
  end(): void;
  /** The status and body, when the response begins. */
  response(): Promise<{ status: number; body: AsyncIterable<Uint8Array> }>;
}

/** Opens an exchange over HTTP/2 without TLS and without upgrade (RFC 9113 section 3.3). */
export async function exchange(
  dial: Dial,
  path: string,
  headers: Record<string, string>,
): Promise<Exchange> {
  const socket = await dial();
  const session = process.getBuiltinModule('node:http2').connect('http://vmsan', {
    createConnection: () => socket,
    settings: { enablePush: false, initialWindowSize: WINDOW },
  });
  const stream = session.request(
    { ...headers, ':method': 'POST', ':path': path },
    { endStream: false },
  );
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  // Nobody may be waiting yet, or any more.
  promise.catch(() => {});
  session.on('error', (cause) => reject(new DaemonGone(cause)));
  stream.on('error', (cause) => reject(brokenOff(stream, cause)));
  stream.on('response', (received) => resolve(received[':status'] ?? 0));
  stream.on('close', () => {
    reject(brokenOff(stream));
    session.close();
  });
  return {
    write: (data) => written(stream, data),
    end: () => void stream.end(),
    response: async () => ({ status: await promise, body: readExchange(stream) }),
  };
}

/**
 * Bytes the daemon may send before we have read them. With what it has itself
 * of an Exec they must be less than the agent keeps (1 MiB): what is under way
 * when the daemon dies is sent again.
 */
const WINDOW = 512 * 1024;

/**
 * Codes of RFC 9113 section 7: CONNECT_ERROR is the daemon's word for a guest
 * that broke off (src/daemon/exec-forward.ts), INTERNAL_ERROR is Node's for a stream
 * that was destroyed because of it. A connection to the daemon that breaks is CANCEL, or
 * INTERNAL_ERROR again, with the socket's own error as the stream's.
 */
const GUEST_BROKE_OFF = [0xa, 0x2];

async function* readExchange(stream: ClientHttp2Stream): AsyncGenerator<Uint8Array> {
  try {
    yield* read(stream);
  } catch (error) {
    throw brokenOff(stream, error);
  }
}

function brokenOff(stream: ClientHttp2Stream, cause?: unknown): unknown {
  const connectionBroke = isErrno(stream.errored, 'ECONNRESET', 'EPIPE');
  if (connectionBroke || !GUEST_BROKE_OFF.includes(stream.rstCode ?? 0)) {
    return cause instanceof Failure ? cause : new DaemonGone(cause);
  }
  return new Failure('unavailable', 'the guest broke off the connection', { hint: 'vmsan list' });
}

function written(stream: ClientHttp2Stream, data: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.writableEnded || stream.write(data)) {
      resolve();
      return;
    }
    const done = (): void => {
      stream.off('drain', done).off('close', done);
      resolve();
    };
    stream.on('drain', done).on('close', done);
  });
}

/** The rest of a response, as it comes. */
export async function* read(from: Readable, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of from) yield chunk as Uint8Array;
  } catch (cause) {
    throw signal?.aborted ? signal.reason : new DaemonGone(cause);
  }
}
