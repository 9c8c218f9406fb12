import { createSocket } from 'node:dgram';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import dnsPacket from 'dns-packet';
import type { Upstream } from '../../src/dns/upstream.ts';

/** A query as it reached the fake. */
export interface SeenQuery {
  transport: 'udp' | 'tcp';
  packet: dnsPacket.DecodedPacket;
  bytes: Buffer;
  sourcePort: number;
}

/** What to send for a query: each buffer is one datagram or one chunk of the stream, sent in order. */
export type Respond = (query: SeenQuery) => Buffer[] | Promise<Buffer[]>;

/**
 * A resolver on 127.0.0.1, UDP and TCP on one port, that answers as told and
 * remembers what it was asked. Speaks through dns-packet, so that our own codec
 * is not its own witness.
 */
export class FakeUpstream implements AsyncDisposable {
  readonly seen: SeenQuery[] = [];
  private readonly respond: Respond;
  private readonly udp = createSocket('udp4');
  private readonly tcp = createServer((socket) => this.serve(socket));
  private readonly connections = new Set<Socket>();

  private constructor(respond: Respond) {
    this.respond = respond;
  }

  static async start(respond: Respond): Promise<FakeUpstream> {
    const fake = new FakeUpstream(respond);
    fake.tcp.listen(0, '127.0.0.1');
    await once(fake.tcp, 'listening');
    fake.udp.on('message', (bytes, { port, address }) => {
      void fake.take('udp', bytes, port).then((replies) => {
        for (const reply of replies) fake.udp.send(reply, port, address);
      });
    });
    fake.udp.bind(fake.upstream.port, '127.0.0.1');
    await once(fake.udp, 'listening');
    return fake;
  }

  get upstream(): Upstream {
    return { address: '127.0.0.1', port: (this.tcp.address() as AddressInfo).port };
  }

  /** Sends from this fake's UDP port, to whoever asked. */
  sendTo(port: number, bytes: Buffer): void {
    this.udp.send(bytes, port, '127.0.0.1');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.connections) socket.destroy();
    this.udp.close();
    this.tcp.close();
    await Promise.all([once(this.udp, 'close'), once(this.tcp, 'close')]);
  }

  private async take(transport: 'udp' | 'tcp', bytes: Buffer, sourcePort: number) {
    const query = { transport, bytes, sourcePort, packet: dnsPacket.decode(bytes) };
    this.seen.push(query);
    return this.respond(query);
  }

  private serve(socket: Socket): void {
    this.connections.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.connections.delete(socket));
    let held = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      held = Buffer.concat([held, chunk]);
      if (held.length < 2 || held.length < 2 + held.readUInt16BE(0)) return;
      const bytes = held.subarray(2, 2 + held.readUInt16BE(0));
      held = held.subarray(2 + bytes.length);
      void this.take('tcp', bytes, socket.remotePort ?? 0).then((replies) => {
        for (const reply of replies) socket.write(reply);
      });
    });
  }
}

/** The bytes of an answer to `query`. */
export function answerTo(
  query: Pick<SeenQuery, 'packet'>,
  answers: dnsPacket.Answer[],
  more: Partial<dnsPacket.Packet> & { rcode?: number } = {},
): Buffer {
  const { rcode = 0, flags = 0, ...rest } = more;
  return dnsPacket.encode({
    type: 'response',
    id: query.packet.id,
    questions: query.packet.questions,
    answers,
    flags: dnsPacket.RECURSION_DESIRED | dnsPacket.RECURSION_AVAILABLE | flags | rcode,
    ...rest,
  });
}

/** With the length in front that TCP wants. */
export function framed(bytes: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** An A record. */
export function a(name: string, address: string, ttl = 300): dnsPacket.Answer {
  return { type: 'A', name, data: address, ttl };
}
