import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Failure, messageOf } from '../host/failure.ts';

/**
 * The handshake on the control channel. QEMU and the guest's kernel keep what
 * an earlier host left unread and hand it to the next one, so a session starts
 * with a line that names it, and the agent echoes that line:
 *
 *     VMSAN1 <32 lower-case hex digits>\n
 *
 * What precedes the echo is another session's and is dropped.
 */
const HELLO = 'VMSAN1 ';
const NONCE_BYTES = 16;

/**
 * How long one try waits for its echo. Trying again is for an agent that did not
 * notice that the host before us left, in the middle of a message: it takes our
 * hello for the rest of it. A pause between two tries cures that. While a guest
 * boots, QEMU keeps the line until the agent opens the port.
 */
const FIRST_TRY_MS = 500;
const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 500;

/**
 * How much of another session's is dropped, over all tries: QEMU and the kernel
 * hold some 4 MiB. An agent that sends more never means to echo.
 */
const MAX_STALE_BYTES = 64 * 1024 * 1024;

export interface ChannelOptions {
  deadlineMs: number;
  signal?: AbortSignal;
}

/**
 * Opens the channel behind QEMU's socket.
 * @returns the socket; its next byte is the first of the agent's HTTP/2 stream
 * @throws Failure `timeout` when the deadline has passed; the signal's reason when aborted;
 *   `unavailable` when the agent sends without end but no echo
 */
export async function openChannel(path: string, options: ChannelOptions): Promise<Socket> {
  const stale = { left: MAX_STALE_BYTES };
  const deadline = performance.now() + options.deadlineMs;
  let patience = FIRST_TRY_MS;
  let pause = FIRST_PAUSE_MS;
  for (;;) {
    options.signal?.throwIfAborted();
    const left = deadline - performance.now();
    try {
      return await greet(path, Math.min(patience, left), stale, options.signal);
    } catch (cause) {
      options.signal?.throwIfAborted();
      if (stale.left <= 0) {
        throw new Failure('unavailable', 'the guest’s agent sends without end but no answer');
      }
      if (performance.now() + pause >= deadline) {
        const seconds = options.deadlineMs / 1000;
        const message = `the guest’s agent did not answer within ${seconds} s`;
        throw new Failure('timeout', `${message}: ${messageOf(cause)}`, { cause });
      }
    }
    await delay(pause, undefined, { signal: options.signal }).catch(() => {});
    patience *= 2;
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
}

/** One try: connect, say hello, read up to the echo. */
function greet(
  path: string,
  timeoutMs: number,
  stale: { left: number },
  signal?: AbortSignal,
): Promise<Socket> {
  const hello = Buffer.from(`${HELLO}${randomBytes(NONCE_BYTES).toString('hex')}\n`);
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connect(path);
  const find = echoFinder(hello);
  const fail = (why: Error) => {
    socket.destroy();
    reject(why);
  };
  const onData = (chunk: Buffer) => {
    const rest = find(chunk);
    if (rest === null) {
      stale.left -= chunk.length;
      if (stale.left <= 0) fail(new Error('no answer among all that it sent'));
      return;
    }
    socket.pause();
    settle();
    if (rest.length > 0) socket.unshift(rest);
    resolve(socket);
  };
  const onClose = () => fail(new Error('the channel was closed'));
  const onAbort = () => fail(new Error('aborted'));
  const timer = setTimeout(() => fail(new Error('no answer to the hello')), timeoutMs);
  const settle = () => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
    socket.off('data', onData).off('close', onClose).off('error', fail);
  };
  signal?.addEventListener('abort', onAbort);
  socket.on('data', onData).on('close', onClose).on('error', fail);
  socket.write(hello);
  return promise.catch((error: unknown) => {
    settle();
    // A destroyed socket may still have an error to tell.
    socket.on('error', () => {});
    throw error;
  });
}

/**
 * Finds the echo in a stream of chunks, in bounded memory.
 * @returns a function that gives the bytes after the echo once it has come, null before
 */
export function echoFinder(hello: Buffer): (chunk: Buffer) => Buffer | null {
  let tail = Buffer.alloc(0);
  return (chunk) => {
    const seen = Buffer.concat([tail, chunk]);
    const at = seen.indexOf(hello);
    if (at >= 0) return seen.subarray(at + hello.length);
    tail = Buffer.from(seen.subarray(-(hello.length - 1)));
    return null;
  };
}
