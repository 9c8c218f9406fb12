import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { listenTcp } from '../../src/host/ffi.ts';
import { ProxySlots, type ProxyLimits } from '../../src/proxy/limits.ts';
import type { ProxyDecision, ProxyOptions, Resolution } from '../../src/proxy/options.ts';
import type { ProxyServer, ServerOptions } from '../../src/proxy/server.ts';

const LOOPBACK = [127, 0, 0, 1];
const DEADLINE_MS = 10_000;

type Serve = (fd: number, options: ProxyOptions, server: ServerOptions) => Promise<ProxyServer>;

/** A proxy on 127.0.0.1 whose guest is 127.0.0.1, with a policy and a resolver made of plain sets. */
export class ProxyWorld implements AsyncDisposable {
  readonly names = new Set(['allowed.example.com', 'other.example.com']);
  readonly addresses = new Map<string, string[]>();
  readonly deniedAddresses = new Set<string>();
  readonly decisions: ProxyDecision[] = [];
  readonly reports: string[] = [];
  /** What is held of the limits. */
  readonly slots = new ProxySlots();
  /** The names that were looked up. */
  readonly resolved: string[] = [];
  onJudgedAddress: () => void = () => {};
  vmId: string | undefined = 'vm-00000001';
  resolve: (name: string) => Promise<Resolution>;
  #proxy: ProxyServer | undefined;
  readonly #clients: Socket[] = [];

  private constructor() {
    this.resolve = async (name) => ({ addresses: this.addresses.get(name) ?? ['127.0.0.1'] });
  }

  /** @param port of the servers behind it */
  static async start(
    serve: Serve,
    port: number,
    limits: Partial<ProxyLimits> = {},
  ): Promise<ProxyWorld> {
    const world = new ProxyWorld();
    const options: ProxyOptions = {
      port,
      guestOf: (ip) =>
        ip === '127.0.0.1' && world.vmId !== undefined ? { ip, vmId: world.vmId } : undefined,
      judge: (_guest, { name }) =>
        world.names.has(name)
          ? { allow: true, rule: name, reason: '' }
          : { allow: false, rule: '', reason: `no rule allows ${name}` },
      resolve: (_guest, name) => {
        world.resolved.push(name);
        return world.resolve(name);
      },
      judgeAddress: (_guest, address) => {
        const isDenied = world.deniedAddresses.has(address);
        world.onJudgedAddress();
        return isDenied
          ? { allow: false, rule: 'denied', reason: `${address} is denied` }
          : { allow: true, rule: 'name', reason: '' };
      },
      report: (event) => world.reports.push(event),
      record: (decision) => world.decisions.push(decision),
    };
    world.#proxy = await serve(listenTcp(LOOPBACK, 0), options, { limits, slots: world.slots });
    return world;
  }

  get proxy(): ProxyServer {
    if (this.#proxy === undefined) throw new Error('not started');
    return this.#proxy;
  }

  get port(): number {
    return Number(this.proxy.address.split(':')[1]);
  }

  client(localAddress = '127.0.0.1'): Heard {
    const options = { host: '127.0.0.1', localAddress, allowHalfOpen: true, noDelay: true };
    const socket = connect({ ...options, port: this.port });
    this.#clients.push(socket);
    return new Heard(socket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#clients) socket.destroy();
    this.proxy.close();
    await Promise.resolve();
  }
}

/** A connection and all that it heard. */
export class Heard {
  readonly socket: Socket;
  #chunks: Buffer[] = [];
  /** "end" after a FIN, "reset" after an RST. */
  over: 'end' | 'reset' | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(Buffer.from(chunk));
      this.#tell();
    });
    socket.on('end', () => this.#end('end'));
    socket.on('error', () => this.#end('reset'));
    socket.on('close', () => this.#end('end'));
  }

  get bytes(): Buffer {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  get text(): string {
    return this.bytes.toString('latin1');
  }

  /** Resolves when what was heard is so. @throws Error after 10 s, with what was heard */
  async until(what: string, is: (text: string) => boolean): Promise<void> {
    const timeout = AbortSignal.timeout(DEADLINE_MS);
    for (;;) {
      if (is(this.text)) return;
      if (this.over !== undefined || timeout.aborted) {
        throw new Error(`never heard ${what}, but: ${JSON.stringify(this.text.slice(-1000))}`);
      }
      await new Promise<void>((done) => {
        this.#waiting.add(done);
        timeout.addEventListener('abort', () => done());
      });
    }
  }

  /** Everything, once the other side is done with it. */
  async all(): Promise<Buffer> {
    const timeout = AbortSignal.timeout(DEADLINE_MS);
    while (this.over === undefined) {
      if (timeout.aborted) throw new Error(`not over, heard: ${this.text.slice(-1000)}`);
      await new Promise<void>((done) => {
        this.#waiting.add(done);
        timeout.addEventListener('abort', () => done());
      });
    }
    return this.bytes;
  }

  #end(how: 'end' | 'reset'): void {
    this.over ??= how;
    this.#tell();
  }

  #tell(): void {
    for (const done of this.#waiting) done();
    this.#waiting.clear();
  }
}

/** A plain server on loopback that hands out what connects, one after the other. */
export class RawServer implements AsyncDisposable {
  readonly seen: Heard[] = [];
  readonly #server: Server;
  readonly #waiting: ((one: Heard) => void)[] = [];

  private constructor() {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const heard = new Heard(socket);
      this.seen.push(heard);
      this.#waiting.shift()?.(heard);
    });
  }

  static async start(address = '127.0.0.1', port = 0): Promise<RawServer> {
    const raw = new RawServer();
    raw.#server.listen(port, address);
    await once(raw.#server, 'listening');
    return raw;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The next connection. To be asked for before it is made. */
  next(): Promise<Heard> {
    return new Promise((done) => this.#waiting.push(done));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { socket } of this.seen) socket.destroy();
    this.#server.close();
    await Promise.resolve();
  }
}

/** A proxy, and the one server that it dials. */
export async function withRawServer(serve: Serve, limits: Partial<ProxyLimits> = {}) {
  const server = await RawServer.start();
  const world = await ProxyWorld.start(serve, server.port, limits);
  return {
    server,
    world,
    [Symbol.asyncDispose]: async () => {
      await world[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}
