/**
 * What one watcher at a time is told, in order. A newer watcher ends the older;
 * what nobody watches is not kept.
 */
export class Feed<T> {
  #watcher: Watcher<T> | undefined;
  readonly #onEnd: () => void;

  /** @param onEnd told when there is no watcher any more */
  constructor(onEnd: () => void = () => {}) {
    this.#onEnd = onEnd;
  }

  get isWatched(): boolean {
    return this.#watcher !== undefined;
  }

  /** Items that the watcher has not taken yet. */
  get unread(): number {
    return this.#watcher?.items.length ?? 0;
  }

  push(item: T): void {
    this.#watcher?.items.push(item);
    this.#watcher?.wake();
  }

  /** What is pushed from now on, until the signal, or until another watches. */
  async *watch(signal: AbortSignal): AsyncGenerator<T> {
    const watcher: Watcher<T> = { items: [], ended: signal.aborted, wake: () => {} };
    const end = () => {
      watcher.ended = true;
      watcher.wake();
      if (this.#watcher !== watcher) return;
      this.#watcher = undefined;
      this.#onEnd();
    };
    if (this.#watcher !== undefined) {
      this.#watcher.ended = true;
      this.#watcher.wake();
      this.#onEnd();
    }
    this.#watcher = watcher;
    signal.addEventListener('abort', end, { once: true });
    try {
      while (!watcher.ended) {
        const item = watcher.items.shift();
        if (item !== undefined) yield item;
        else await new Promise<void>((wake) => (watcher.wake = wake));
      }
    } finally {
      signal.removeEventListener('abort', end);
      end();
    }
  }
}

interface Watcher<T> {
  items: T[];
  ended: boolean;
  wake: () => void;
}
