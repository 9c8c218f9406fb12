import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ETHER, ethernet, icmp, ipv4, readFrame, readPacket, tcp, TCP, udp } from './frames.ts';

const [GUEST, PEER] = ['172.16.3.2', '203.0.113.20'];
const frame = (packet: Buffer) =>
  ethernet('06:76:6d:00:00:03', '02:76:6d:00:00:03', ETHER.IPV4, packet);

test('a segment is read as it was written', () => {
  const syn = tcp(GUEST, PEER, { from: 61_000, to: 22 }, { seq: 7, ack: 9 });
  assert.partialDeepStrictEqual(readFrame(frame(ipv4(GUEST, PEER, syn, { id: 5 }))), {
    source: GUEST,
    destination: PEER,
    protocol: 6,
    id: 5,
    from: 61_000,
    to: 22,
    flags: TCP.SYN,
    ack: 9,
    payload: Buffer.alloc(0),
  });
  const datagram = udp({ from: 1, to: 2 }, Buffer.from('words'));
  assert.deepEqual(readPacket(ipv4(GUEST, PEER, datagram))?.payload, Buffer.from('words'));
});

test('an ICMP error holds the packet that it is about', () => {
  const about = ipv4(GUEST, PEER, udp({ from: 61_001, to: 9 }, Buffer.alloc(0)), { id: 77 });
  const error = ipv4('172.16.3.1', GUEST, icmp(3, 13, Buffer.concat([Buffer.alloc(4), about])));
  const packet = readPacket(error);
  assert.partialDeepStrictEqual(packet, { type: 3, code: 13 });
  assert.partialDeepStrictEqual(readPacket(packet!.payload), { id: 77, from: 61_001, to: 9 });
});

test('checksums are right: Internet headers with theirs add up to nothing', () => {
  const packet = ipv4(GUEST, PEER, icmp(8, 0, Buffer.from('00000001', 'hex')));
  for (const part of [packet.subarray(0, 20), packet.subarray(20)]) {
    let sum = 0;
    for (let at = 0; at < part.length; at += 2) sum += part.readUInt16BE(at);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    assert.equal(sum, 0xffff);
  }
});

test('any bytes are read, or are nothing', () => {
  const whole = frame(ipv4(GUEST, PEER, tcp(GUEST, PEER, { from: 1, to: 2 })));
  for (let length = 0; length < whole.length; length += 1) {
    const packet = readFrame(whole.subarray(0, length));
    assert.equal(packet === null, length < 34, String(length));
  }
  assert.equal(readPacket(Buffer.from('4f'.repeat(20), 'hex')), null, 'a header that is not there');
});
