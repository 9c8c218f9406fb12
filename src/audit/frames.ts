import { randomInt } from 'node:crypto';

/**
 * Frames as a guest puts them on its wire, right and wrong ones, and reading
 * what comes back. Writers take any value; the reader is total.
 *
 *     Ethernet: to, from, type   IPv4 (RFC 791)   TCP (RFC 9293), UDP (RFC 768), ICMP (RFC 792)
 */

export const ETHER = { IPV4: 0x0800, ARP: 0x0806, IPV6: 0x86dd } as const;
export const PROTOCOL = { ICMP: 1, TCP: 6, UDP: 17 } as const;
export const TCP = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32 } as const;
export const ICMP = { ECHO_REPLY: 0, UNREACHABLE: 3, ECHO: 8 } as const;

/** What an IPv4 packet carries. */
export interface Segment {
  protocol: number;
  bytes: Buffer;
}

export function ethernet(to: string, from: string, type: number, payload: Buffer): Buffer {
  const ethertype = Buffer.alloc(2);
  ethertype.writeUInt16BE(type);
  return Buffer.concat([mac(to), mac(from), ethertype, payload]);
}

/** @param fragment flags and offset as they stand in the header: 0x2000 more fragments, then units of 8 bytes */
export function ipv4(
  source: string,
  destination: string,
  { protocol, bytes }: Segment,
  { id = randomInt(1, 0x10000), fragment = 0 } = {},
): Buffer {
  const head = Buffer.alloc(20);
  head.writeUInt8(0x45, 0);
  head.writeUInt16BE(20 + bytes.length, 2);
  head.writeUInt16BE(id, 4);
  head.writeUInt16BE(fragment, 6);
  head.writeUInt8(64, 8);
  head.writeUInt8(protocol, 9);
  octets(source).copy(head, 12);
  octets(destination).copy(head, 16);
  head.writeUInt16BE(checksum(head), 10);
  return Buffer.concat([head, bytes]);
}

/** A segment's header: one with a wrong checksum would be dropped as invalid, whatever the rules. */
export function tcp(
  source: string,
  destination: string,
  ports: { from: number; to: number },
  {
    flags = TCP.SYN,
    seq = randomInt(2 ** 32),
    ack = 0,
  }: { flags?: number; seq?: number; ack?: number } = {},
): Segment {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt16BE(ports.from, 0);
  bytes.writeUInt16BE(ports.to, 2);
  bytes.writeUInt32BE(seq, 4);
  bytes.writeUInt32BE(ack, 8);
  bytes.writeUInt8(5 << 4, 12);
  bytes.writeUInt8(flags, 13);
  bytes.writeUInt16BE(64_240, 14);
  const pseudo = Buffer.concat([octets(source), octets(destination), Buffer.from([0, 6, 0, 20])]);
  bytes.writeUInt16BE(checksum(Buffer.concat([pseudo, bytes])), 16);
  return { protocol: PROTOCOL.TCP, bytes };
}

export function udp(ports: { from: number; to: number }, payload: Buffer): Segment {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(ports.from, 0);
  head.writeUInt16BE(ports.to, 2);
  head.writeUInt16BE(8 + payload.length, 4);
  // Checksum 0: none.
  return { protocol: PROTOCOL.UDP, bytes: Buffer.concat([head, payload]) };
}

/** @param body what follows type, code and checksum; its length is even */
export function icmp(type: number, code: number, body: Buffer): Segment {
  const bytes = Buffer.concat([Buffer.from([type, code, 0, 0]), body]);
  bytes.writeUInt16BE(checksum(bytes), 2);
  return { protocol: PROTOCOL.ICMP, bytes };
}

/** What of an IPv4 packet an audit looks at. */
export interface Packet {
  source: string;
  destination: string;
  protocol: number;
  id: number;
  /** Of TCP and UDP; 0 where there are none. */
  from: number;
  to: number;
  /** Of TCP. */
  flags: number;
  ack: number;
  /** Of ICMP. */
  type: number;
  code: number;
  /** What follows TCP's or UDP's header, or ICMP's first 8 bytes. */
  payload: Buffer;
}

const ETHERNET_BYTES = 14;

/** The IPv4 packet of a frame; null when there is none, or not enough of one. */
export function readFrame(frame: Buffer): Packet | null {
  if (frame.length < ETHERNET_BYTES || frame.readUInt16BE(12) !== ETHER.IPV4) return null;
  return readPacket(frame.subarray(ETHERNET_BYTES));
}

/** An IPv4 packet, perhaps only its beginning, as ICMP errors carry it. */
export function readPacket(bytes: Buffer): Packet | null {
  const first = bytes[0] ?? 0;
  const header = (first & 15) * 4;
  if (first >> 4 !== 4 || header < 20 || bytes.length < header) return null;
  const protocol = bytes[9] ?? 0;
  const body = bytes.subarray(header);
  const word = (at: number) => (body.length < at + 2 ? 0 : body.readUInt16BE(at));
  const hasPorts = protocol === PROTOCOL.TCP || protocol === PROTOCOL.UDP;
  const isTcp = protocol === PROTOCOL.TCP && body.length >= 20;
  const isIcmp = protocol === PROTOCOL.ICMP;
  return {
    source: dotted(bytes, 12),
    destination: dotted(bytes, 16),
    protocol,
    id: bytes.readUInt16BE(4),
    from: hasPorts ? word(0) : 0,
    to: hasPorts ? word(2) : 0,
    flags: isTcp ? (body[13] ?? 0) : 0,
    ack: isTcp ? body.readUInt32BE(8) : 0,
    type: isIcmp ? (body[0] ?? 0) : 0,
    code: isIcmp ? (body[1] ?? 0) : 0,
    payload: body.subarray(isTcp ? (body[12] ?? 0) >> 2 : 8),
  };
}

export function mac(text: string): Buffer {
  return Buffer.from(text.replaceAll(':', ''), 'hex');
}

export function octets(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

function dotted(bytes: Buffer, at: number): string {
  return bytes.subarray(at, at + 4).join('.');
}

/** The Internet checksum (RFC 1071) of an even number of bytes. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
