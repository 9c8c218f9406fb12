import { connect, type Socket } from 'node:net';
import { Failure } from '../../host/failure.ts';

/** The longest answer we ask for is a console of 64 KiB, with room for its escapes. */
const LONGEST_LINE = 1024 * 1024;

/**
 * A client of the QEMU Machine Protocol (docs/interop/qmp-spec.txt in QEMU):
 * one ASCII JSON object a line; a greeting, then `qmp_capabilities`, then commands,
 * each answered in order by `return` or `error`, with events in between.
 */
export class Qmp {
  /** Resolves when the connection has ended: QEMU is gone, or going. */
  readonly closed: Promise<void>;
  /** Told of every event. QEMU may have been taken over by its guest: it may say anything, at any rate. */
  onEvent: (name: string, data: Readonly<Record<string, unknown>>) => void = () => {};
  readonly #socket: Socket;
  #unfinished = '';
  readonly #waiting: { resolve(value: unknown): void; reject(error: Failure): void }[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        const gone = new Failure('unavailable', 'QEMU has ended');
        for (const { reject } of this.#waiting.splice(0)) reject(gone);
        resolve();
      });
    });
  }

  /** Connects and negotiates. @throws Failure after `deadlineMs`, or when QEMU goes away */
  static async connect(path: string, deadlineMs: number): Promise<Qmp> {
    const socket = connect({ path });
    // What went wrong is told by 'close', which follows.
    socket.on('error', () => {});
    const qmp = new Qmp(socket);
    const timer = setTimeout(() => socket.destroy(), deadlineMs);
    try {
      await qmp.#greeting();
      await qmp.execute('qmp_capabilities');
      return qmp;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Runs one command. @returns its `return` value @throws Failure with QEMU's words */
  execute(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(new Failure('unavailable', 'QEMU has ended'));
        return;
      }
      this.#waiting.push({ resolve, reject });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #greeting(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#socket.on('data', (chunk: Buffer) => this.#read(chunk));
    });
  }

  #read(chunk: Buffer): void {
    const lines = (this.#unfinished + chunk.toString()).split('\n');
    this.#unfinished = lines.pop() ?? '';
    if (this.#unfinished.length > LONGEST_LINE) this.#socket.destroy();
    for (const line of lines) this.#receive(line);
  }

  #receive(line: string): void {
    const message = parseMessage(line);
    if (message === null) {
      this.#socket.destroy();
      return;
    }
    if (message.event !== undefined) {
      this.onEvent(message.event, message.data ?? {});
      return;
    }
    const next = this.#waiting.shift();
    if (message.error !== undefined) {
      next?.reject(new Failure('internal', `QEMU: ${message.error.desc}`));
    } else {
      next?.resolve(message.return);
    }
  }
}

interface Message {
  return?: unknown;
  error?: { desc: string };
  event?: string;
  data?: Record<string, unknown>;
}

/** Null for anything that is not QMP: a QEMU taken over by its guest may say anything. */
function parseMessage(line: string): Message | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? value : null;
  } catch {
    return null;
  }
}
