/** Runs actions one at a time, in the order they were asked for. */
export class Mutex {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(action: () => T | Promise<T>): Promise<T> {
    const result = this.#last.then(action);
    // The next one waits for this one's end, not for its success.
    this.#last = result.catch(() => {});
    return result;
  }
}

/** One Mutex a key, for as long as someone uses it. */
export class KeyedMutex {
  readonly #users = new Map<string, { mutex: Mutex; count: number }>();

  async run<T>(key: string, action: () => T | Promise<T>): Promise<T> {
    const entry = this.#users.get(key) ?? { mutex: new Mutex(), count: 0 };
    this.#users.set(key, entry);
    entry.count += 1;
    try {
      return await entry.mutex.run(action);
    } finally {
      entry.count -= 1;
      if (entry.count === 0) this.#users.delete(key);
    }
  }
}

/** Runs at most so many actions at a time; the others wait in the order they came. */
export class Places {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** @param onWait told when there is no place yet */
  async run<T>(action: () => T | Promise<T>, onWait: () => void = () => {}): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else {
      onWait();
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    try {
      return await action();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
