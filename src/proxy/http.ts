import { Exchange } from './http-exchange.ts';
import { MAX_HEAD } from './http-fields.ts';
import { readRequestHead, type RequestHead } from './http-head.ts';
import { refusal } from './http-refusal.ts';
import type { Asked, ProxyGuest, ProxyOptions, ProxyVerdict } from './options.ts';
import { serveConnections, type ProxyServer, type ServerOptions } from './server.ts';
import type { Session } from './session.ts';
import { toClient, toServer } from './splice.ts';
import type { Upstream } from './upstream.ts';

/**
 * Serves HTTP/1: judges the head of every request and passes it on as it is to
 * the host that it names, one request at a time. After a 101 everything passes.
 * A refusal is a 403 that says why.
 */
export function serveHttp<Guest extends ProxyGuest>(
  fd: number,
  options: ProxyOptions<Guest>,
  server: ServerOptions = {},
): Promise<ProxyServer<Guest>> {
  return serveConnections(fd, options, server, (session) => new HttpConnection(session).start());
}

/**
 * - `head`: a request's head is not all here; the response before it is over
 * - `dialling`
 * - `exchange`: the request's body and the response go by
 * - `open`: no HTTP any more; everything passes both ways
 * - `deaf`: the guest hears the server out and is not heard
 */
type Stage = 'head' | 'dialling' | 'exchange' | 'open' | 'deaf' | 'over';

/** Bytes kept of a guest that does not wait for its response. */
const MAX_AHEAD = 2 * MAX_HEAD;
const NOTHING = Buffer.alloc(0);

class HttpConnection {
  readonly #session: Session;
  #stage: Stage = 'head';
  /** From the guest, not passed on. */
  #held: Buffer = NOTHING;
  #exchange: Exchange | undefined;
  #guestEnded = false;

  constructor(session: Session) {
    this.#session = session;
  }

  start(): void {
    const { client, limits } = this.#session;
    this.#session.setDeadline(limits.headMs);
    client.on('data', (bytes) => this.#fromGuest(bytes));
    client.on('end', () => {
      this.#guestEnded = true;
      this.#pump();
    });
  }

  #fromGuest(bytes: Buffer): void {
    const { client, upstream, limits } = this.#session;
    if (this.#stage === 'deaf' || this.#stage === 'over') return;
    if (this.#stage === 'open') {
      this.#session.touch();
      if (upstream !== undefined) toServer(client, upstream, bytes);
      return;
    }
    if (this.#stage === 'head' && this.#held.length === 0) {
      this.#session.setDeadline(limits.headMs);
    }
    this.#held = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    this.#pump();
    if (this.#held.length > MAX_AHEAD) client.pause();
  }

  /** Does what can be done with what is held. */
  #pump(): void {
    if (this.#stage === 'head') this.#readHead();
    else if (this.#stage === 'exchange') this.#passBody();
    const isOpen = this.#stage === 'open' || this.#stage === 'exchange' || this.#stage === 'deaf';
    if (this.#guestEnded && isOpen && this.#held.length === 0) {
      this.#session.endUpstream();
    }
  }

  #readHead(): void {
    if (this.#held.length === 0) {
      if (this.#guestEnded) this.#closeIdle();
      return;
    }
    const { port } = this.#session;
    const reading = readRequestHead(this.#held, port);
    if (reading.kind === 'more') {
      if (this.#guestEnded) this.#session.destroy();
    } else if (reading.kind === 'bad') {
      const { problem, reason } = reading;
      const verdict = { allow: false, rule: problem, reason: `the request is refused: ${reason}` };
      this.#refuse('', problem === 'host' ? 403 : 400, verdict);
    } else {
      this.#stage = 'dialling';
      void this.#begin(reading.head);
    }
  }

  async #begin(head: RequestHead): Promise<void> {
    const { port } = this.#session;
    const asked: Asked = { name: head.host, port, protocol: 'http' };
    const what = `${head.method} http://${head.host}${head.path}`;
    const verdict = this.#session.judge(asked);
    if (!verdict.allow) {
      this.#refuse(what, 403, verdict, asked.name);
      return;
    }
    this.#session.setDeadline(this.#session.limits.idleMs);
    if (!this.#keeps(asked)) {
      this.#session.dropUpstream();
      const dialled = await this.#session.dial(asked);
      switch (dialled.kind) {
        case 'gone':
          this.#session.destroy();
          return;
        case 'denied':
          this.#refuse(what, 403, dialled.verdict, asked.name);
          return;
        case 'unreachable':
          this.#refuse(what, 502, { allow: false, rule: '', reason: dialled.reason });
          return;
        case 'connected':
          this.#connected(dialled.upstream);
      }
    }
    const { client, upstream } = this.#session;
    if (upstream === undefined) return;
    this.#session.record('http', what, verdict);
    this.#stage = 'exchange';
    this.#exchange = new Exchange(head);
    toServer(client, upstream, this.#held.subarray(0, head.length));
    this.#held = this.#held.subarray(head.length);
    client.resume();
    this.#pump();
  }

  /** Whether the connection of the request before can serve this one. */
  #keeps({ name }: Asked): boolean {
    const { upstream, asked } = this.#session;
    return (
      upstream !== undefined &&
      asked?.name === name &&
      upstream.socket.writable &&
      this.#session.judgeAddress(upstream.address).allow
    );
  }

  #connected(upstream: Upstream): void {
    upstream.onBytes = (bytes) => this.#fromServer(upstream, bytes);
    upstream.socket.on('end', () => {
      if (this.#session.upstream === upstream) this.#serverEnds();
    });
    upstream.resume();
  }

  #passBody(): void {
    const { client, upstream } = this.#session;
    const exchange = this.#exchange;
    if (exchange === undefined || upstream === undefined || exchange.request.isDone) return;
    const length = exchange.request.take(this.#held);
    if (length === null) {
      this.#session.destroy();
      return;
    }
    this.#session.touch();
    if (length > 0) toServer(client, upstream, this.#held.subarray(0, length));
    this.#held = this.#held.subarray(length);
    if (exchange.isLast) this.#listenOnly();
    else if (exchange.isOver) this.#next();
  }

  #fromServer(upstream: Upstream, bytes: Buffer): boolean {
    if (this.#session.upstream !== upstream) return true;
    this.#session.touch();
    const allGone = toClient(this.#session, upstream, bytes);
    if (this.#stage === 'exchange') this.#follow(bytes);
    // It spoke without having been asked: whose answer is that?
    else if (this.#stage === 'head') this.#listenOnly();
    return allGone;
  }

  #follow(bytes: Buffer): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    const progress = exchange.hear(bytes);
    if (progress === 'switched') this.#open();
    else if (progress === 'lost' || exchange.isLast) this.#listenOnly();
    else if (exchange.isOver) this.#next();
  }

  #next(): void {
    this.#stage = 'head';
    this.#exchange = undefined;
    this.#session.setDeadline(this.#session.limits.keepAliveMs);
    if (this.#held.length > 0) this.#session.setDeadline(this.#session.limits.headMs);
    this.#session.client.resume();
    this.#pump();
  }

  #open(): void {
    const { client, upstream, limits } = this.#session;
    this.#stage = 'open';
    this.#exchange = undefined;
    this.#session.setDeadline(limits.idleMs);
    const held = this.#held;
    this.#held = NOTHING;
    if (upstream !== undefined && held.length > 0) toServer(client, upstream, held);
    client.resume();
    this.#pump();
  }

  #listenOnly(): void {
    this.#stage = 'deaf';
    this.#held = NOTHING;
    this.#session.setDeadline(this.#session.limits.keepAliveMs);
    this.#session.client.resume();
    this.#pump();
  }

  #serverEnds(): void {
    if (this.#stage !== 'open') this.#listenOnly();
    this.#session.endClient();
  }

  /** The guest has nothing more to ask. */
  #closeIdle(): void {
    this.#stage = 'over';
    this.#session.finish('');
  }

  #refuse(what: string, status: 400 | 403 | 502, verdict: ProxyVerdict, name?: string): void {
    this.#stage = 'over';
    this.#held = NOTHING;
    this.#session.record('http', what, verdict);
    const { vmId } = this.#session;
    this.#session.finish(refusal({ status, verdict, vmId, name }));
  }
}
