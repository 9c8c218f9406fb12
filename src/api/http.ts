import type { IncomingMessage } from 'node:http';
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import type {
  UniversalClientFn,
  UniversalClientRequest,
  UniversalClientResponse,
} from '@connectrpc/connect/protocol';
import { Failure } from '../host/failure.ts';

/**
 * HTTP over a socket that `dial` opens, one connection per call. Node's modules
 * come by `process.getBuiltinModule`: an `import * as http` reads every export,
 * which loads all of undici and costs a command 30 ms instead of 3.
 */

/** Opens a connection to the daemon. What it throws reaches the caller as it is. */
export type Dial = () => Promise<Socket>;

/**
 * Posts one body over HTTP/1.1 and returns when the response begins.
 * @throws Failure `unavailable` when the connection breaks off; an abort's reason
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
    request.on('error', (cause) => reject(signal?.aborted ? signal.reason : brokenOff(cause)));
    request.on('response', resolve);
    request.end(body);
  });
}

/**
 * A client for Connect's transport over HTTP/2 without TLS and without upgrade
 * (RFC 9113 section 3.3), for calls that stream both ways.
 */
export function http2Client(dial: Dial): UniversalClientFn {
  return async (request) => {
    const socket = await dial();
    const { promise, resolve, reject } = Promise.withResolvers<UniversalClientResponse>();
    const session: ClientHttp2Session = process
      .getBuiltinModule('node:http2')
      .connect(request.url, {
        createConnection: () => socket,
        settings: { enablePush: false, initialWindowSize: WINDOW },
      });
    session.on('error', (cause) => reject(brokenOff(cause)));
    const stream: ClientHttp2Stream = session.request(
      {
        ...Object.fromEntries(request.header.entries()),
        ':method': request.method,
        ':path': new URL(request.url).pathname,
      },
      { endStream: false, ...(request.signal === undefined ? {} : { signal: request.signal }) },
    );
    stream.on('error', (cause) => reject(brokenOff(cause)));
    stream.on('close', () => {
      reject(brokenOff(undefined));
      session.close();
    });
    stream.on('response', (received) => {
      const header = new Headers();
      for (const [name, value] of Object.entries(received)) {
        if (value !== undefined && !name.startsWith(':')) header.set(name, String(value));
      }
      const status = received[':status'] ?? 0;
      resolve({ status, header, body: read(stream), trailer: new Headers() });
    });
    void send(request, stream);
    return promise;
  };
}

/** Bytes a peer may send before we have read them. */
const WINDOW = 1024 * 1024;

async function send(request: UniversalClientRequest, to: Writable): Promise<void> {
  try {
    for await (const chunk of request.body ?? []) {
      if (to.destroyed) return;
      if (!to.write(chunk)) await drained(to);
    }
    to.end();
  } catch (error) {
    to.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}

function drained(to: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      to.off('drain', done).off('close', done);
      resolve();
    };
    to.on('drain', done).on('close', done);
    if (to.destroyed) done();
  });
}

/** The rest of a response, as it comes. */
export async function* read(from: Readable): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of from) yield chunk as Uint8Array;
  } catch (cause) {
    throw brokenOff(cause);
  }
}

function brokenOff(cause: unknown): unknown {
  // Connect knows an abort by its name.
  if (cause instanceof Error && cause.name === 'AbortError') return cause;
  return new Failure('unavailable', 'the daemon broke off the connection', {
    hint: 'vmsan daemon status',
    cause,
  });
}
