import type { Socket } from 'node:net';
import { cut } from './cut.ts';
import type { ProxyLimits, ProxySlots } from './limits.ts';
import type { Asked, ProxyGuest, ProxyOptions, ProxyVerdict } from './options.ts';
import { Upstream } from './upstream.ts';

/** The connections of a name are tried at so many addresses. */
const MAX_ADDRESSES = 6;

export type Dialled =
  | { kind: 'connected'; upstream: Upstream; rule: string }
  | { kind: 'denied'; verdict: ProxyVerdict }
  | { kind: 'unreachable'; reason: string }
  /** The guest is not there any more. */
  | { kind: 'gone' };

export interface SessionContext<Guest extends ProxyGuest> {
  options: ProxyOptions<Guest>;
  limits: ProxyLimits;
  slots: ProxySlots;
  /** Source of what is dialled: where the proxy listens. */
  localAddress: string;
}

/** One connection of a guest's, and what it is connected to. */
export class Session<Guest extends ProxyGuest = ProxyGuest> {
  readonly client: Socket;
  readonly source: string;
  readonly vmId: string;
  readonly limits: ProxyLimits;
  readonly port: number;
  upstream: Upstream | undefined;
  /** What it last asked for and may have. */
  asked: Asked | undefined;
  readonly #context: SessionContext<Guest>;
  readonly #onOver: () => void;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  /** @param onOver called once both connections are closed */
  constructor(client: Socket, guest: Guest, context: SessionContext<Guest>, onOver: () => void) {
    this.client = client;
    this.source = guest.ip;
    this.vmId = guest.vmId;
    this.#context = context;
    this.limits = context.limits;
    this.port = context.options.port;
    this.#onOver = onOver;
    client.on('error', () => this.destroy());
    client.once('close', () => {
      // Half closed both ways it goes by itself, once what it holds is sent.
      if (!client.readableEnded) cut(this.upstream?.socket);
      this.#closed();
    });
  }

  /** Ends it when so much time passes without `touch()`. */
  setDeadline(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#isOver) return;
    this.#timer = setTimeout(() => this.destroy(), ms);
  }

  touch(): void {
    this.#timer?.refresh();
  }

  /** As the policy is now. */
  judge(asked: Asked, guest: Guest | undefined = this.#guest()): ProxyVerdict {
    return guest === undefined ? GONE : this.#context.options.judge(guest, asked);
  }

  judgeAddress(address: string, guest: Guest | undefined = this.#guest()): ProxyVerdict {
    const { options } = this.#context;
    return guest === undefined ? GONE : options.judgeAddress(guest, address, options.port);
  }

  /** Whether the policy of now lets it go on, or that of a guest who is not there yet. */
  mayGoOn(guest: Guest | undefined = this.#guest()): boolean {
    if (guest === undefined) return false;
    if (this.asked !== undefined && !this.judge(this.asked, guest).allow) return false;
    return this.upstream === undefined || this.judgeAddress(this.upstream.address, guest).allow;
  }

  /** Where it leads; undefined when it leads nowhere. */
  connection(): { name: string; address: string; port: number } | undefined {
    if (this.asked === undefined || this.upstream === undefined) return undefined;
    return { name: this.asked.name, address: this.upstream.address, port: this.port };
  }

  record(kind: 'tls' | 'http', what: string, { allow, rule, reason }: ProxyVerdict): void {
    this.#context.options.record({
      vmId: this.vmId,
      kind,
      what,
      verdict: allow ? 'allow' : 'deny',
      rule,
      reason,
      address: allow ? (this.upstream?.address ?? '') : '',
      port: this.port,
    });
  }

  /**
   * Connects to a name that is allowed: resolves it, judges each address, and
   * takes every decision again after every wait.
   */
  async dial(asked: Asked): Promise<Dialled> {
    const { options, limits, slots } = this.#context;
    const guest = this.#guest();
    if (guest === undefined) return { kind: 'gone' };
    const resolution = await options
      .resolve(guest, asked.name)
      .catch((error: unknown) => ({ error: String(error).slice(0, 200) }));
    if ('error' in resolution) {
      return { kind: 'unreachable', reason: `${asked.name} does not resolve: ${resolution.error}` };
    }
    let denied: ProxyVerdict | undefined;
    const failures: string[] = [];
    for (const address of resolution.addresses.slice(0, MAX_ADDRESSES)) {
      if (this.client.destroyed) return { kind: 'gone' };
      const verdict = this.#judgeBoth(asked, address);
      if (!verdict.allow) {
        denied ??= verdict;
        continue;
      }
      const release = slots.destinations.take(`${this.vmId} ${address}`, limits.perDestination);
      if (release === null) {
        options.report('too many connections of a VM to one address', { vm: this.vmId });
        failures.push(`${address}: too many connections of this VM`);
        continue;
      }
      const upstream = await this.#connect(address).catch((error: unknown) => {
        failures.push(`${address}: ${error instanceof Error ? error.message : String(error)}`);
      });
      if (upstream === undefined) {
        release();
        continue;
      }
      upstream.socket.once('close', release);
      const again = this.#judgeBoth(asked, address);
      if (!again.allow || this.client.destroyed) {
        upstream.socket.on('error', () => {});
        cut(upstream.socket);
        return again.allow ? { kind: 'gone' } : { kind: 'denied', verdict: again };
      }
      this.#adopt(upstream, asked);
      return { kind: 'connected', upstream, rule: again.rule };
    }
    if (denied !== undefined && failures.length === 0) return { kind: 'denied', verdict: denied };
    const why = failures.length === 0 ? 'it has no IPv4 address' : failures.join('; ');
    return { kind: 'unreachable', reason: `${asked.name} cannot be reached: ${why}` };
  }

  /** Lets go of the upstream; the guest's connection stays. */
  dropUpstream(): void {
    const { upstream } = this;
    this.upstream = undefined;
    upstream?.socket.destroy();
  }

  /** The guest has said all. A server that does not end either is waited for, not for ever. */
  endUpstream(): void {
    if (this.upstream === undefined || this.upstream.socket.writableEnded) return;
    this.upstream.socket.end();
    this.setDeadline(this.limits.halfClosedMs);
  }

  /** The server has said all. */
  endClient(): void {
    this.client.end();
    this.setDeadline(this.limits.halfClosedMs);
  }

  /** Sends the last that the guest hears, and waits a little for it to be read. */
  finish(lastWords: Buffer | string): void {
    this.dropUpstream();
    const { keepAliveMs, lingerMs } = this.limits;
    this.setDeadline(this.client.writableLength > 0 ? keepAliveMs : lingerMs);
    // Unread bytes would turn the close into a reset, and that can overtake them.
    this.client.removeAllListeners('data').on('data', () => {});
    this.client.resume();
    this.client.end(lastWords);
  }

  /** Ends both connections at once. */
  destroy(): void {
    cut(this.client);
    cut(this.upstream?.socket);
  }

  #closed(): void {
    if (!this.client.closed) return;
    if (this.upstream !== undefined && !this.upstream.socket.closed) {
      this.setDeadline(this.limits.keepAliveMs);
      return;
    }
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#onOver();
  }

  #guest(): Guest | undefined {
    const guest = this.#context.options.guestOf(this.source);
    return guest?.vmId === this.vmId ? guest : undefined;
  }

  /** The name's verdict when the address is allowed too. */
  #judgeBoth(asked: Asked, address: string): ProxyVerdict {
    const byName = this.judge(asked);
    if (!byName.allow) return byName;
    const byAddress = this.judgeAddress(address);
    return byAddress.allow ? byName : byAddress;
  }

  #connect(address: string): Promise<Upstream> {
    const { localAddress, limits } = this.#context;
    const timeoutMs = limits.connectMs;
    return Upstream.connect({ address, port: this.port, localAddress, timeoutMs });
  }

  #adopt(upstream: Upstream, asked: Asked): void {
    this.upstream = upstream;
    this.asked = asked;
    upstream.socket.on('error', () => {
      if (this.upstream === upstream) cut(this.client);
    });
    // Else a write of what it holds is under way, and the pool does without it.
    upstream.socket.once('close', () => {
      if (this.client.destroyed || this.client.writableLength === 0) upstream.releaseBuffer();
      this.#closed();
    });
  }
}

const GONE: ProxyVerdict = { allow: false, rule: '', reason: 'this address is no VM’s any more' };
