import { connect, type Socket } from 'node:net';
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

  private constructor({ address, port, localAddress }: ConnectOptions) {
    this.address = address;
    this.socket = connect({
      host: address,
      port,
      localAddress,
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
    const upstream = new Upstream(options);
    const { socket } = upstream;
    try {
      await new Promise<void>((done, fail) => {
        const timer = setTimeout(
          () => fail(new Error(`no answer in ${options.timeoutMs} ms`)),
          options.timeoutMs,
        );
        const settle = () => clearTimeout(timer);
        socket.once('connect', () => (settle(), done()));
        socket.once('error', (error) => (settle(), fail(error)));
      });
    } catch (error) {
      socket.on('error', () => {});
      socket.destroy();
      throw error;
    }
    return upstream;
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
