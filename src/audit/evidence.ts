import { ETHER, ICMP, PROTOCOL, readFrame, readPacket, TCP, type Packet } from './frames.ts';
import type { Conversation, Shot } from './kit.ts';
import type { Answers, Talked } from './probe.ts';
import type { OldFlow, Site } from './site.ts';

/** What was seen at the host's end of the VM's link: all that its own rules let out. */
export interface Witnessed {
  frames: readonly Buffer[];
  /** Nothing was lost, and the guest's last frame was seen: what is not here did not come out. */
  whole: boolean;
}

/** All that is known when everything has been tried. */
export class Evidence {
  readonly site: Site;
  /** Whether what was not seen to come out did not. */
  readonly whole: boolean;
  readonly #left: readonly { bytes: Buffer; packet: Packet | null }[];
  readonly #received: readonly { bytes: Buffer; packet: Packet | null }[];
  readonly #talks: Answers['talks'];

  constructor(site: Site, answers: Answers, witnessed: Witnessed) {
    this.site = site;
    this.whole = witnessed.whole;
    this.#left = witnessed.frames.map(readAll);
    this.#received = answers.received.map(readAll);
    this.#talks = answers.talks;
  }

  /** Where a packet went when it left the VM's netns; undefined when it was not seen to. */
  left(shot: Shot): string | undefined {
    const seen = this.#left.find(
      ({ bytes, packet }) =>
        bytes.includes(shot.token) ||
        // A fragment has the token or not; this it has in any case.
        (packet?.id === shot.id && packet.destination === shot.destination),
    );
    return seen && this.#placeOf(seen.packet);
  }

  /** Whether anything of a flow was seen to leave for where it was going. */
  flowed({ protocol, destination, from, to }: OldFlow): boolean {
    return this.#left.some(
      ({ packet }) =>
        packet?.protocol === (protocol === 'tcp' ? PROTOCOL.TCP : PROTOCOL.UDP) &&
        packet.destination === destination &&
        packet.from === from &&
        packet.to === to,
    );
  }

  talked({ number }: Conversation): Talked | undefined {
    return this.#talks.get(number);
  }

  /** Where a conversation went that was none of the gate's, or undefined. */
  strayed(conversation: Conversation): string | undefined {
    const { address, port } = conversation;
    const ours = this.talked(conversation)?.localPort ?? 0;
    const seen = this.#left.find(
      ({ packet }) =>
        packet?.protocol === PROTOCOL.TCP &&
        packet.destination === address &&
        packet.to === port &&
        // One that never connected has no port that is known: a beginning to there is taken for its own.
        (ours === 0 ? (packet.flags & (TCP.SYN | TCP.ACK)) === TCP.SYN : packet.from === ours),
    );
    return seen && this.#placeOf(seen.packet);
  }

  /** How a packet was refused by vmsan, as far as the guest can tell. */
  refused(shot: Shot): 'reset' | 'prohibited' | undefined {
    for (const { packet } of this.#received) {
      if (packet === null) continue;
      if (isUnreachable(packet, shot) && packet.code === PROHIBITED) return 'prohibited';
      if (isReplyTo(packet, shot) && (packet.flags & TCP.RST) !== 0) return 'reset';
    }
    return undefined;
  }

  /** What came back that is no refusal of vmsan's. */
  answered(shot: Shot): string | undefined {
    for (const { packet, bytes } of this.#received) {
      if (packet === null) continue;
      if (isUnreachable(packet, shot) && packet.code !== PROHIBITED) {
        return `${packet.source} says that it is not there (ICMP code ${packet.code})`;
      }
      if (packet.type === ICMP.ECHO_REPLY && packet.protocol === PROTOCOL.ICMP) {
        if (bytes.includes(shot.token)) return `${packet.source} answers the echo request`;
      }
      if (isReplyTo(packet, shot) && (packet.flags & TCP.RST) === 0) {
        return `${packet.source} answers`;
      }
    }
    return undefined;
  }

  /** The payload of a UDP answer. */
  datagramFor(shot: Shot): Buffer | undefined {
    return this.#received.find(({ packet }) => packet !== null && isReplyTo(packet, shot))?.packet
      ?.payload;
  }

  /** Whether the gateway answered an ARP request in which the guest called itself so. */
  resolvedFor(address: Buffer): boolean {
    return this.#received.some(
      ({ bytes }) =>
        bytes.length >= 42 &&
        bytes.readUInt16BE(12) === ETHER.ARP &&
        bytes.readUInt16BE(20) === 2 &&
        bytes.subarray(38, 42).equals(address),
    );
  }

  receivedOfType(type: number): boolean {
    return this.#received.some(({ bytes }) => bytes.length > 14 && bytes.readUInt16BE(12) === type);
  }

  #placeOf(packet: Packet | null): string {
    if (packet === null) return 'the host';
    const { gateIp } = this.site.host;
    const port = packet.to === 0 ? '' : `:${packet.to}`;
    return packet.destination === gateIp ? 'the gate' : `${packet.destination}${port}`;
  }
}

/** RFC 1812 5.2.7.1: communication administratively prohibited. */
const PROHIBITED = 13;

function isUnreachable(packet: Packet, shot: Shot): boolean {
  if (packet.protocol !== PROTOCOL.ICMP || packet.type !== ICMP.UNREACHABLE) return false;
  const inner = readPacket(packet.payload);
  return inner?.id === shot.id && inner.destination === shot.destination;
}

function isReplyTo(packet: Packet, { protocol, destination, from, to }: Shot): boolean {
  if (protocol !== PROTOCOL.TCP && protocol !== PROTOCOL.UDP) return false;
  return (
    packet.protocol === protocol &&
    packet.source === destination &&
    packet.from === to &&
    packet.to === from
  );
}

function readAll(bytes: Buffer): { bytes: Buffer; packet: Packet | null } {
  return { bytes, packet: readFrame(bytes) };
}
