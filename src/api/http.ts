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
 * HTTP over a socket that `dial` opens, one connection per call, for Connect's
 * transport. connect-node's own client is not used here: it imports `node:http`
 * as a namespace, which reads every export of it and so loads all of undici.
 * That costs a command 30 ms; `process.getBuiltinModule` costs it 3.
 */

/** Opens a connection to the daemon. What it throws reaches the caller of the RPC as it is. */
export type Dial = () => Promise<Socket>;

/** HTTP/1.1: starts fastest; for calls whose request is a single message. */
export function http1Client(dial: Dial): UniversalClientFn {
  return async (request) => {
    const socket = await dial();
    const { promise, resolve, reject } = Promise.withResolvers<UniversalClientResponse>();
    const sent = process.getBuiltinModule('node:http').request({
      createConnection: () => socket,
      method: request.method,
      path: new URL(request.url).pathname,
      headers: record(request.header),
      ...(request.signal === undefined ? {} : { signal: request.signal }),
    });
    sent.on('error', (cause) => reject(brokenOff(cause)));
    sent.on('response', (response) => {
      resolve({
        status: response.statusCode ?? 0,
        header: headersOf(response.headers),
        body: read(response, () => socket.destroy()),
        trailer: new Headers(),
      });
    });
    void send(request, sent);
    return promise;
  };
}

/** HTTP/2 without TLS and without upgrade (RFC 9113 section 3.3): both directions at once. */
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
        ...record(request.header),
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
    stream.on('response', (headers) => {
      resolve({
        status: headers[':status'] ?? 0,
        header: headersOf(headers),
        body: read(stream, () => session.close()),
        trailer: new Headers(),
      });
    });
    void send(request, stream);
    return promise;
  };
}

/** Bytes a peer may send before we have read them: two of an agent's largest chunks. */
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

async function* read(from: Readable, end: () => void): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of from) yield chunk as Uint8Array;
  } catch (cause) {
    throw brokenOff(cause);
  } finally {
    end();
  }
}

function brokenOff(cause: unknown): unknown {
  if (cause instanceof Failure) return cause;
  // Connect knows an abort by its name.
  if (cause instanceof Error && cause.name === 'AbortError') return cause;
  return new Failure('unavailable', 'the daemon broke off the connection', {
    hint: 'vmsan daemon status',
    cause,
  });
}

function record(headers: Headers): Record<string, string> {
  const all: Record<string, string> = {};
  headers.forEach((value, name) => {
    all[name] = value;
  });
  return all;
}

function headersOf(from: Record<string, string | string[] | number | undefined>): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(from)) {
    if (value !== undefined && !name.startsWith(':')) headers.set(name, String(value));
  }
  return headers;
}
