import { readClientHello, readSecondHello, type ClientHello } from './client-hello.ts';
import type { Asked, ProxyGuest, ProxyOptions, ProxyVerdict } from './options.ts';
import { readServerHello } from './server-hello.ts';
import { serveConnections, type ProxyServer, type ServerOptions } from './server.ts';
import type { Session } from './session.ts';
import { toClient, toServer } from './splice.ts';
import { ALERT, fatalAlert } from './tls-records.ts';
import type { Upstream } from './upstream.ts';

/**
 * Serves TLS: connects each guest to the server that its ClientHello names,
 * when that is allowed, and passes on every byte as it is. A refusal is an
 * alert. What is no TLS, or hides its name, is refused.
 */
export function serveTls<Guest extends ProxyGuest>(
  fd: number,
  options: ProxyOptions<Guest>,
  server: ServerOptions = {},
): Promise<ProxyServer<Guest>> {
  return serveConnections(fd, options, server, (session) => new TlsConnection(session).start());
}

/**
 * - `hello`: the first hello is not all here
 * - `dialling`
 * - `answer`: it went to the server, which may ask for another; the guest is not heard
 * - `second`: it did ask, and the second hello is not all here
 * - `open`: no hello can follow; everything passes both ways
 * - `deaf`: what the server said is no TLS; the guest hears it and is not heard
 */
type Stage = 'hello' | 'dialling' | 'answer' | 'second' | 'open' | 'deaf' | 'over';

/** Bytes kept of a guest that does not wait its turn. */
const MAX_AHEAD = 1 << 17;
const NOTHING = Buffer.alloc(0);

class TlsConnection {
  readonly #session: Session;
  #stage: Stage = 'hello';
  /** From the guest, not passed on. */
  #held: Buffer = NOTHING;
  /** From the server, passed on already. */
  #heard: Buffer = NOTHING;
  #name = '';
  #guestEnded = false;

  constructor(session: Session) {
    this.#session = session;
  }

  start(): void {
    const { client, limits } = this.#session;
    this.#session.setDeadline(limits.headMs);
    client.on('data', (bytes) => this.#fromGuest(bytes));
    client.on('end', () => this.#guestEnds());
  }

  #fromGuest(bytes: Buffer): void {
    const { client, upstream } = this.#session;
    switch (this.#stage) {
      case 'open':
        this.#session.touch();
        if (upstream !== undefined) toServer(client, upstream, bytes);
        return;
      case 'hello':
        this.#hold(bytes);
        void this.#readHello();
        return;
      case 'second':
        this.#hold(bytes);
        this.#readSecond();
        return;
      case 'dialling':
      case 'answer':
        this.#hold(bytes);
        if (this.#held.length > MAX_AHEAD) client.pause();
        return;
      case 'deaf':
      case 'over':
    }
  }

  #hold(bytes: Buffer): void {
    this.#held = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
  }

  #guestEnds(): void {
    this.#guestEnded = true;
    if (this.#stage === 'hello' || this.#stage === 'second') this.#session.destroy();
    else if (this.#stage === 'open' || this.#stage === 'deaf') this.#session.endUpstream();
  }

  async #readHello(): Promise<void> {
    const reading = readClientHello(this.#held);
    if (reading.kind === 'more') return;
    if (reading.kind === 'bad') {
      const alert = reading.problem === 'malformed' ? ALERT.DECODE_ERROR : ALERT.ACCESS_DENIED;
      this.#refuse('', { allow: false, rule: reading.problem, reason: reading.reason }, alert);
      return;
    }
    const { hello } = reading;
    this.#name = hello.serverName;
    const asked: Asked = { name: hello.serverName, port: this.#session.port, protocol: 'tls' };
    const verdict = this.#session.judge(asked);
    if (!verdict.allow) {
      this.#refuse(asked.name, verdict);
      return;
    }
    this.#stage = 'dialling';
    // Dialling has its own.
    this.#session.setDeadline(this.#session.limits.idleMs);
    const dialled = await this.#session.dial(asked);
    switch (dialled.kind) {
      case 'gone':
        this.#session.destroy();
        return;
      case 'denied':
        this.#refuse(asked.name, dialled.verdict);
        return;
      case 'unreachable': {
        const { reason } = dialled;
        this.#refuse(asked.name, { allow: false, rule: '', reason }, ALERT.INTERNAL_ERROR);
        return;
      }
      case 'connected':
        this.#session.record('tls', asked.name, verdict);
        this.#connected(dialled.upstream, hello);
    }
  }

  #connected(upstream: Upstream, hello: ClientHello): void {
    this.#stage = 'answer';
    this.#session.setDeadline(this.#session.limits.handshakeMs);
    upstream.onBytes = (bytes) => this.#fromServer(upstream, bytes);
    upstream.socket.on('end', () => this.#serverEnds());
    this.#passOn(hello.length);
    upstream.resume();
  }

  #fromServer(upstream: Upstream, bytes: Buffer): boolean {
    if (this.#stage === 'answer') this.#readAnswer(bytes);
    this.#session.touch();
    return toClient(this.#session, upstream, bytes);
  }

  #readAnswer(bytes: Buffer): void {
    this.#heard = Buffer.concat([this.#heard, bytes]);
    const reading = readServerHello(this.#heard);
    if (reading === 'more') return;
    this.#heard = NOTHING;
    if (reading === 'hello') {
      this.#open();
    } else if (reading === 'retry') {
      this.#stage = 'second';
      this.#session.client.resume();
      this.#readSecond();
    } else {
      this.#listenOnly();
    }
  }

  /** The second hello is the first one but for what the server asked (RFC 8446 4.1.2): the name is not that. */
  #readSecond(): void {
    const reading = readSecondHello(this.#held);
    if (reading.kind === 'more') {
      if (this.#guestEnded) this.#session.destroy();
    } else if (reading.kind === 'alert') {
      this.#passOn(reading.length);
      this.#listenOnly();
    } else if (reading.kind === 'bad') {
      this.#refuse(this.#name, { allow: false, rule: reading.problem, reason: reading.reason });
    } else if (reading.hello.serverName !== this.#name) {
      const reason = `its second ClientHello names ${reading.hello.serverName}`;
      this.#refuse(this.#name, { allow: false, rule: 'second-hello', reason });
    } else {
      this.#open();
    }
  }

  #open(): void {
    this.#stage = 'open';
    this.#session.setDeadline(this.#session.limits.idleMs);
    this.#passOn(this.#held.length);
    this.#session.client.resume();
    if (this.#guestEnded) this.#session.endUpstream();
  }

  #listenOnly(): void {
    this.#stage = 'deaf';
    this.#held = NOTHING;
    this.#session.client.resume();
    if (this.#guestEnded) this.#session.endUpstream();
  }

  #serverEnds(): void {
    if (this.#stage !== 'open') this.#listenOnly();
    this.#session.endClient();
  }

  #passOn(length: number): void {
    const { client, upstream } = this.#session;
    const bytes = this.#held.subarray(0, length);
    this.#held = this.#held.subarray(length);
    if (upstream !== undefined && bytes.length > 0) toServer(client, upstream, bytes);
  }

  #refuse(what: string, verdict: ProxyVerdict, alert: number = ALERT.ACCESS_DENIED): void {
    this.#stage = 'over';
    this.#held = NOTHING;
    this.#session.record('tls', what, verdict);
    this.#session.finish(fatalAlert(alert));
  }
}
