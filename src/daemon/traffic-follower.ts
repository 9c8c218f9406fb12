import type { Decided } from '../store/traffic.ts';
import { DecidedSum } from './traffic-sum.ts';

/** Decisions, and how many were left out of them. */
export interface News {
  entries: readonly Decided[];
  leftOut: number;
}

/** Somebody who is told what is decided for a VM. What is not taken in time is summed up, and bounded. */
export class TrafficFollower {
  readonly id: string;
  readonly #deniedOnly: boolean;
  #news = new DecidedSum();
  #wake = Promise.withResolvers<void>();
  #ended = false;

  constructor(id: string, deniedOnly: boolean) {
    this.id = id;
    this.#deniedOnly = deniedOnly;
  }

  get ended(): boolean {
    return this.#ended;
  }

  add(id: string, decided: Decided): void {
    if (id !== this.id || (this.#deniedOnly && decided.verdict !== 'deny')) return;
    this.#news.add(decided);
    this.#wake.resolve();
  }

  leaveOut(id: string, count: number): void {
    if (id === this.id) this.#news.leftOut += count;
  }

  end(): void {
    this.#ended = true;
    this.#wake.resolve();
  }

  /** Resolves when there is news, at the signal, or after `ms`. */
  async wait(signal: AbortSignal, ms: number): Promise<void> {
    const over = () => this.#wake.resolve();
    const timer = setTimeout(over, ms);
    signal.addEventListener('abort', over, { once: true });
    await this.#wake.promise;
    clearTimeout(timer);
    signal.removeEventListener('abort', over);
    this.#wake = Promise.withResolvers();
  }

  /** The news, once. */
  take(): News | null {
    const news = this.#news;
    if (news.isEmpty) return null;
    this.#news = new DecidedSum();
    return { entries: news.entries(), leftOut: news.leftOut };
  }
}
