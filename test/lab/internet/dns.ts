import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import * as dns from 'dns-packet';
import { names } from '../world.ts';
import type { Ends, Journal } from './journal.ts';
import { lookUp } from './zone.ts';

/** A UDP answer without EDNS holds at most so many bytes (RFC 1035, section 4.2.1). */
const PLAIN_UDP_BYTES = 512;
const NXDOMAIN = 3;

/** Serves DNS on one address, UDP and TCP. */
export async function serveDns(address: string, port: number, journal: Journal): Promise<void> {
  const socket = createSocket('udp4');
  socket.on('message', (message, peer) => {
    const ends: Ends = {
      server: 'dns',
      protocol: 'udp',
      address,
      port,
      from: peer.address,
      fromPort: peer.port,
    };
    const reply = answer(message, ends, journal);
    if (reply !== undefined) socket.send(reply, peer.port, peer.address);
  });
  socket.bind(port, address);

  const server = createServer((connection) => {
    const ends = journal.connection('dns', connection);
    let pending = Buffer.alloc(0);
    connection.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      // Each message follows its length in two bytes (RFC 1035, section 4.2.2).
      while (pending.length >= 2 && pending.length >= 2 + pending.readUInt16BE(0)) {
        const end = 2 + pending.readUInt16BE(0);
        const reply = answer(pending.subarray(2, end), ends, journal);
        pending = pending.subarray(end);
        if (reply === undefined) continue;
        const length = Buffer.alloc(2);
        length.writeUInt16BE(reply.length);
        connection.write(Buffer.concat([length, reply]));
      }
    });
  });
  server.listen(port, address);
  await Promise.all([once(socket, 'listening'), once(server, 'listening')]);
}

function answer(message: Buffer, ends: Ends, journal: Journal): Buffer | undefined {
  const query = decode(message);
  const question = query?.questions?.[0];
  if (query === undefined || question === undefined) {
    journal.write({ ...ends, event: 'data', bytes: message.length, error: 'not a DNS query' });
    return undefined;
  }
  journal.write({
    ...ends,
    event: 'query',
    name: question.name,
    type: question.type,
    bytes: message.length,
  });
  if (question.name.toLowerCase() === names.silent) return undefined;

  const { answers, exists } = lookUp(question.name, question.type);
  const edns = query.additionals?.find((record) => record.type === 'OPT');
  const reply: dns.Packet = {
    type: 'response',
    id: query.id ?? 0,
    flags: dns.RECURSION_DESIRED | dns.RECURSION_AVAILABLE | (exists ? 0 : NXDOMAIN),
    questions: [question],
    answers,
    authorities: answers.length > 0 ? [] : [startOfAuthority],
    additionals: edns === undefined ? [] : [optRecord],
  };
  const whole = dns.encode(reply);
  const room = ends.protocol === 'tcp' ? Infinity : (edns?.udpPayloadSize ?? PLAIN_UDP_BYTES);
  if (whole.length <= room) return whole;
  return dns.encode({ ...reply, flags: reply.flags! | dns.TRUNCATED_RESPONSE, answers: [] });
}

const startOfAuthority: dns.Answer = {
  type: 'SOA',
  name: '.',
  ttl: 60,
  data: {
    mname: 'ns.example.com',
    rname: 'root.example.com',
    serial: 1,
    refresh: 60,
    retry: 60,
    expire: 60,
    minimum: 60,
  },
};

const optRecord: dns.OptAnswer = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: 1232,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

function decode(message: Buffer): dns.DecodedPacket | undefined {
  try {
    return dns.decode(message);
  } catch {
    return undefined;
  }
}
