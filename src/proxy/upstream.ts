import { randomInt } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { isErrno } from '../host/failure.ts';
import { ReadBuffer } from './buffers.ts';

export interface ConnectOptions {
  address: string;
  port: number;
  localAddress: string;
  timeoutMs: number;
}

/**
 * A connection to a server. What it reads goes into one buffer of a pool, which
 * the next read overwrites: whoever takes bytes copies them, or has read no
 * more until they are gone.
 */
export class Upstream {
  readonly socket: Socket;
  readonly address: string;
  /** Takes what the server says; false stops reading until `resume()`. */
  onBytes: (bytes: Buffer) => boolean = () => false;
  readonly #buffer = new ReadBuffer();
  #isPaused = false;

  private constructor({ address, port, localAddress }: ConnectOptions, localPort: number) {
    this.address = address;
    this.socket = connect({
      host: address,
      port,
      localAddress,
      localPort,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      onread: {
        buffer: () => this.#buffer.current,
        callback: (length, bytes) => {
          const goOn = this.onBytes((bytes as Buffer).subarray(0, length));
          this.#isPaused = !goOn;
          this.#buffer.wasFilledTo(length);
          return goOn;
        },
      },
    });
  }

  /** @throws when it does not connect within the time */
  static async connect(options: ConnectOptions): Promise<Upstream> {
    for (let tries = 1; ; tries++) {
      const upstream = new Upstream(options, nextLocalPort());
      try {
        await connected(upstream.socket, options.timeoutMs);
        return upstream;
      } catch (error) {
        upstream.socket.on('error', () => {});
        upstream.socket.destroy();
        // Another connection to that server has the port, or had it a minute ago.
        if (tries >= MAX_TRIES || !isErrno(error, 'EADDRINUSE', 'EADDRNOTAVAIL')) throw error;
      }
    }
  }

  resume(): void {
    if (!this.#isPaused || this.socket.destroyed) return;
    this.#isPaused = false;
    this.socket.resume();
  }

  /** Once nothing of what was read is being written any more. */
  releaseBuffer(): void {
    this.#buffer.release();
  }
}

function connected(socket: Socket, timeoutMs: number): Promise<void> {
  return new Promise((done, fail) => {
    const timer = setTimeout(() => fail(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
    socket.once('connect', () => {
      clearTimeout(timer);
      done();
    });
    socket.once('error', (error) => {
      clearTimeout(timer);
      fail(error);
    });
  });
}

/** Linux's own range for such ports (`ip_local_port_range`). */
const LOCAL_PORTS = { first: 32_768, count: 28_232 } as const;
const MAX_TRIES = 8;
let portsGiven = randomInt(LOCAL_PORTS.count);

/**
 * A port for the next connection. The kernel, asked to bind an address without
 * saying where to, looks for a port that nobody uses to any server: it takes
 * milliseconds once some thousand connections have ended in the last minute,
 * and fails at 28 000.
 */
function nextLocalPort(): number {
  portsGiven = (portsGiven + 1) % LOCAL_PORTS.count;
  return LOCAL_PORTS.first + portsGiven;
}
