import { randomBytes, randomInt } from 'node:crypto';
import { TYPE } from '../dns/message.ts';
import { ETHER, ethernet, icmp, ICMP, ipv4, tcp, TCP, udp, type Segment } from './frames.ts';
import type { Step, Talk } from './probe.ts';
import type { OldFlow, Site } from './site.ts';
import { question } from './question.ts';

/** A packet of an audit's, and how it and what comes back are known again. */
export interface Shot {
  /** Bytes of its own, wherever it turns up. */
  token: Buffer;
  protocol: number;
  destination: string;
  /** Of the IP header: an ICMP error repeats it. */
  id: number;
  /** Its own port, and the destination's; 0 where there are none. */
  from: number;
  to: number;
}

/** A conversation, by its number among those of the audit. */
export interface Conversation extends Talk {
  number: number;
}

/** Ports above those that a guest's kernel gives out by itself (ip_local_port_range). */
const FIRST_PORT = 61_000;
const PORTS = 4_500;
const TALK_DEADLINE_MS = 15_000;

/** Makes the packets and conversations of one audit, and keeps what is to be sent. */
export class Kit {
  readonly frames: Buffer[] = [];
  readonly talks: Talk[] = [];
  readonly site: Site;
  #nextPort = randomInt(PORTS);
  #nextId = randomInt(1, 0x10000);

  constructor(site: Site) {
    this.site = site;
  }

  tcp(destination: string, to: number, flags: number = TCP.SYN): Shot {
    const from = this.port();
    const [seq, ack] = [randomInt(2 ** 32), randomInt(2 ** 32)];
    const segment = tcp(this.site.vm.guestIp, destination, { from, to }, { flags, seq, ack });
    return this.#send(destination, segment, { token: segment.bytes.subarray(4, 12), from, to });
  }

  udp(destination: string, to: number, options: { source?: string; payload?: Buffer } = {}): Shot {
    const token = newToken();
    const from = this.port();
    const payload = Buffer.concat([options.payload ?? Buffer.alloc(0), token]);
    return this.#send(destination, udp({ from, to }, payload), { token, from, to }, options.source);
  }

  /** One more packet of a flow that is open. */
  inFlow({ protocol, destination, from, to }: OldFlow): Shot {
    const token = newToken();
    const { guestIp } = this.site.vm;
    const segment =
      protocol === 'udp'
        ? udp({ from, to }, token)
        : tcp(guestIp, destination, { from, to }, { flags: TCP.ACK });
    const known = protocol === 'udp' ? token : segment.bytes.subarray(4, 12);
    return this.#send(destination, segment, { token: known, from, to });
  }

  /** A DNS query over UDP. */
  query(destination: string, name: string, type: number = TYPE.A): Shot {
    const from = this.port();
    const payload = question(name, type);
    // Its id, flags and counts are not its own alone, with its name they are.
    const shot = { token: payload.subarray(0, payload.length), from, to: 53 };
    return this.#send(destination, udp({ from, to: 53 }, payload), shot);
  }

  icmp(destination: string, type: number = ICMP.ECHO): Shot {
    const token = newToken();
    const segment = icmp(type, 0, Buffer.concat([Buffer.alloc(4), token]));
    return this.#send(destination, segment, { token, from: 0, to: 0 });
  }

  /** Any protocol number, with a token and nothing else in it. */
  other(destination: string, protocol: number): Shot {
    const token = newToken();
    return this.#send(destination, { protocol, bytes: token }, { token, from: 0, to: 0 });
  }

  /** A frame that is no packet of the guest's own. @param make from a token, which must be in it */
  frame(make: (token: Buffer) => Buffer): Shot {
    const token = newToken();
    this.frames.push(make(token));
    return { token, protocol: -1, destination: '', id: -1, from: 0, to: 0 };
  }

  /** An IPv4 packet in the guest's own frame. */
  own(packet: Buffer): Buffer {
    const { gatewayMac, guestMac } = this.site.vm;
    return ethernet(gatewayMac, guestMac, ETHER.IPV4, packet);
  }

  talk(address: string, port: number, steps: readonly Step[]): Conversation {
    const talk = { address, port, deadlineMs: TALK_DEADLINE_MS, steps };
    return { ...talk, number: this.talks.push(talk) };
  }

  port(): number {
    this.#nextPort = (this.#nextPort + 1) % PORTS;
    return FIRST_PORT + this.#nextPort;
  }

  id(): number {
    this.#nextId = (this.#nextId % 0xffff) + 1;
    return this.#nextId;
  }

  #send(
    destination: string,
    segment: Segment,
    known: Pick<Shot, 'token' | 'from' | 'to'>,
    source = this.site.vm.guestIp,
  ): Shot {
    const id = this.id();
    this.frames.push(this.own(ipv4(source, destination, segment, { id })));
    return { ...known, protocol: segment.protocol, destination, id };
  }
}

/** Readable for who watches the wire. */
export function newToken(): Buffer {
  return Buffer.from(`vmsan audit ${randomBytes(8).toString('hex')}`, 'latin1');
}
