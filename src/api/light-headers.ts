/**
 * Node's `Headers` belongs to undici, and its first use loads all of it: 30 ms,
 * as much as Node itself takes to start. A command makes a handful of headers
 * for a unix socket, so it puts this in their place before Connect asks for any.
 * Import it first, and only in a program that never calls `fetch`.
 */
class LightHeaders {
  readonly #values = new Map<string, string>();

  constructor(from?: Iterable<readonly [string, string]> | Record<string, string>) {
    if (from === undefined) return;
    const entries =
      Symbol.iterator in from ? (from as Iterable<[string, string]>) : Object.entries(from);
    for (const [name, value] of entries) this.append(name, value);
  }

  append(name: string, value: string): void {
    const before = this.get(name);
    this.set(name, before === null ? value : `${before}, ${value}`);
  }

  set(name: string, value: string): void {
    this.#values.set(name.toLowerCase(), value);
  }

  get(name: string): string | null {
    return this.#values.get(name.toLowerCase()) ?? null;
  }

  has(name: string): boolean {
    return this.#values.has(name.toLowerCase());
  }

  delete(name: string): void {
    this.#values.delete(name.toLowerCase());
  }

  forEach(visit: (value: string, name: string, headers: this) => void): void {
    for (const [name, value] of this.#values) visit(value, name, this);
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.#values.entries();
  }

  entries(): IterableIterator<[string, string]> {
    return this.#values.entries();
  }
}

// Assigned, not defined: defineProperty would first ask Node for the old value, and so load it.
globalThis.Headers = LightHeaders as unknown as typeof Headers;

export {};
