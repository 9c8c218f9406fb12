import { BodyReader } from './http-body.ts';
import type { RequestHead } from './http-head.ts';
import { readResponseHead } from './http-response.ts';

/**
 * What the bytes of a server mean for the connection, beside being passed on:
 * - `more`: the response is not over
 * - `done`: it is, and the connection may go on
 * - `switched`: a 101 was the answer to an upgrade; it is HTTP no longer
 * - `lost`: nobody can say where it ends; nothing may follow it
 */
export type Progress = 'more' | 'done' | 'switched' | 'lost';

const NOTHING = Buffer.alloc(0);

/** One request and its response. */
export class Exchange {
  readonly head: RequestHead;
  readonly request: BodyReader;
  /** Of the response: what has been passed on but not understood yet. */
  #pending: Buffer = NOTHING;
  #response: BodyReader | undefined;
  #progress: Progress = 'more';
  #endsWithConnection = false;

  constructor(head: RequestHead) {
    this.head = head;
    this.request = new BodyReader(head.body);
  }

  get progress(): Progress {
    return this.#progress;
  }

  get isOver(): boolean {
    return this.request.isDone && this.#progress === 'done';
  }

  /** The request is said, and its answer ends with the connection: no other can follow. */
  get isLast(): boolean {
    return this.request.isDone && this.#endsWithConnection;
  }

  /** Follows what the server says; all of it is passed on, whatever it is. */
  hear(bytes: Buffer): Progress {
    if (this.#progress === 'more') this.#progress = this.#follow(bytes);
    // Two answers to one request.
    else if (this.#progress === 'done') this.#progress = 'lost';
    return this.#progress;
  }

  #follow(bytes: Buffer): Progress {
    let rest = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    this.#pending = NOTHING;
    while (this.#response === undefined) {
      const reading = readResponseHead(rest, this.head.method);
      if (reading.kind === 'more') return this.#wait(rest);
      if (reading.kind === 'bad') return 'lost';
      const { status, body, length } = reading.head;
      rest = rest.subarray(length);
      if (status === 101) return this.head.upgrade ? 'switched' : 'lost';
      // Other 1xx come before the response proper (RFC 9110 15.2).
      if (status < 200) {
        if (rest.length === 0) return 'more';
        continue;
      }
      this.#response = new BodyReader(body);
      this.#endsWithConnection = body.kind === 'close';
    }
    const taken = this.#response.take(rest);
    if (taken === null) return 'lost';
    if (!this.#response.isDone) return this.#wait(rest.subarray(taken));
    return taken === rest.length ? 'done' : 'lost';
  }

  #wait(rest: Buffer): Progress {
    // A copy: what came in is overwritten by the next read.
    this.#pending = rest.length === 0 ? NOTHING : Buffer.from(rest);
    return 'more';
  }
}
