import type { VmNetwork } from '../../../src/net/plan.ts';

/**
 * What a guest that wants out would put on its wire: to each destination a
 * TCP SYN, an echo request and two datagrams, a query to its resolver, and
 * frames that are not its own. Each leaves a trace at the lab's internet if it
 * gets there.
 */
export function framesOf(vm: VmNetwork, destinations: readonly string[]): Buffer[] {
  const own = (destination: string, segment: Segment) =>
    ethernet(vm.gatewayMac, vm.guestMac, ipv4(vm.guestIp, destination, segment));
  const spoofed = (source: string, destination: string) =>
    ethernet(vm.gatewayMac, vm.guestMac, ipv4(source, destination, udp(7, 'spoofed')));
  return [
    ...destinations.flatMap((destination) => [
      own(destination, tcp(vm.guestIp, destination, 80, SYN)),
      own(destination, icmpEcho()),
      own(destination, udp(7, vm.hostLink)),
      own(destination, udp(53, QUERY)),
      spoofed('192.0.2.10', destination),
      spoofed(vm.transitVmIp, destination),
    ]),
    own(vm.gatewayIp, udp(53, QUERY)),
  ];
}

interface Segment {
  protocol: number;
  bytes: Buffer;
}

/** A query for www.example.org, type A (RFC 1035 section 4.1). */
const QUERY = Buffer.from(
  '12340100000100000000000003777777076578616d706c65036f72670000010001',
  'hex',
);

let ports = 0;
/** Ports of its own for each: no flow is the continuation of another. */
function nextPort(): number {
  ports = (ports + 1) % 20_000;
  return 20_000 + ports;
}

export function udp(port: number, payload: string | Buffer): Segment {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(nextPort(), 0);
  head.writeUInt16BE(port, 2);
  head.writeUInt16BE(8 + payload.length, 4);
  // Checksum 0: none (RFC 768).
  return { protocol: 17, bytes: Buffer.concat([head, Buffer.from(payload)]) };
}

function icmpEcho(): Segment {
  const bytes = Buffer.from('0800000000010001', 'hex');
  bytes.writeUInt16BE(nextPort(), 4);
  bytes.writeUInt16BE(checksum(bytes), 2);
  return { protocol: 1, bytes };
}

/** RFC 9293, section 3.1. */
export const SYN = 0x02;
export const ACK = 0x10;

/** One with a wrong checksum would be dropped as invalid, whatever the rules. */
export function tcp(source: string, destination: string, port: number, flags: number): Segment {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt16BE(nextPort(), 0);
  bytes.writeUInt16BE(port, 2);
  bytes.writeUInt8(5 << 4, 12);
  bytes.writeUInt8(flags, 13);
  bytes.writeUInt16BE(64_240, 14);
  const pseudo = Buffer.concat([octets(source), octets(destination), Buffer.from([0, 6, 0, 20])]);
  bytes.writeUInt16BE(checksum(Buffer.concat([pseudo, bytes])), 16);
  return { protocol: 6, bytes };
}

export function ipv4(source: string, destination: string, { protocol, bytes }: Segment): Buffer {
  const head = Buffer.alloc(20);
  head.writeUInt8(0x45, 0);
  head.writeUInt16BE(20 + bytes.length, 2);
  head.writeUInt8(64, 8);
  head.writeUInt8(protocol, 9);
  octets(source).copy(head, 12);
  octets(destination).copy(head, 16);
  head.writeUInt16BE(checksum(head), 10);
  return Buffer.concat([head, bytes]);
}

export function ethernet(to: string, from: string, packet: Buffer): Buffer {
  return Buffer.concat([mac(to), mac(from), Buffer.from([0x08, 0x00]), packet]);
}

export function mac(text: string): Buffer {
  return Buffer.from(text.replaceAll(':', ''), 'hex');
}

export function octets(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

/** The Internet checksum (RFC 1071) of an even number of bytes. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
