import { Failure } from '../host/failure.ts';

/** What became of a VM, or of the gate that serves all. */
export interface LifeEvent {
  atMs: number;
  kind:
    | 'created'
    | 'started'
    | 'adopted'
    | 'paused'
    | 'resumed'
    | 'stopped'
    | 'removed'
    | 'network'
    | 'port'
    | 'gate'
    | 'rules';
  /** Null when it is about no single VM. */
  vm: { id: string; name: string } | null;
  /** In words; may be empty. */
  detail: string;
}

/** How many are kept. A reader that falls behind by more is told so. */
const KEPT = 1000;

/** The newest events since the daemon's start, in memory. */
export class Events {
  readonly #ring: LifeEvent[] = [];
  /** How many there ever were. */
  #count = 0;
  #next = Promise.withResolvers<void>();

  add(kind: LifeEvent['kind'], vm: LifeEvent['vm'], detail = ''): void {
    const about = vm === null ? null : { id: vm.id, name: vm.name };
    this.#ring.push({ atMs: Date.now(), kind, vm: about, detail });
    this.#count += 1;
    if (this.#ring.length > KEPT) this.#ring.shift();
    this.#next.resolve();
    this.#next = Promise.withResolvers();
  }

  /** Resolves at the next event, or when `signal` is aborted. */
  async next(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const aborted = Promise.withResolvers<void>();
    const abort = () => aborted.resolve();
    signal.addEventListener('abort', abort);
    try {
      await Promise.race([this.#next.promise, aborted.promise]);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /**
   * The events there are, oldest first, and then those to come until `signal` is aborted.
   * @throws Failure `exhausted` when events went by that the reader did not take
   */
  async *follow(signal: AbortSignal): AsyncGenerator<LifeEvent> {
    let taken = this.#count - this.#ring.length;
    for (;;) {
      while (taken < this.#count) {
        const event = this.#ring[taken - (this.#count - this.#ring.length)];
        if (event === undefined) {
          throw new Failure('exhausted', 'more events came than this reader took');
        }
        taken += 1;
        yield event;
      }
      if (signal.aborted) return;
      await this.next(signal);
    }
  }

  /** The events there are, oldest first. */
  all(): readonly LifeEvent[] {
    return [...this.#ring];
  }
}
