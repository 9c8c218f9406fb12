import dnsPacket from 'dns-packet';
import { decodeMessage, type Message, type Question } from '../../src/dns/message.ts';

/** A question in wire form. @param type by its name, or "UNKNOWN_65" */
export function questionOf(name: string, type = 'A'): Question {
  const questions = [{ name, type: type as 'A' }];
  const question = decodeMessage(dnsPacket.encode({ questions }))?.questions[0];
  if (question === undefined) throw new Error(`${name} cannot be asked for`);
  return question;
}

/** An upstream's answer. @param flags the rcode, and more */
export function messageOf(
  answers: dnsPacket.Answer[],
  more: Partial<dnsPacket.Packet> = {},
): Message {
  const message = decodeMessage(dnsPacket.encode({ type: 'response', answers, ...more }));
  if (message === null) throw new Error('it cannot be decoded');
  return message;
}

/** A SOA record. @param minimum seconds that "no" holds */
export function soa(name: string, ttl: number, minimum: number): dnsPacket.Answer {
  const names = { mname: `ns.${name}`, rname: `root.${name}` };
  return {
    type: 'SOA',
    name,
    ttl,
    data: { ...names, serial: 1, refresh: 2, retry: 3, expire: 4, minimum },
  };
}
