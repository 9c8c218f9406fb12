import { randomInt } from 'node:crypto';
import { encodeMessage } from '../dns/encode.ts';
import { CLASS_IN, FLAG, type Message } from '../dns/message.ts';
import { wireName } from '../dns/name.ts';

const MAX_BYTES = 512;

/**
 * A DNS query as a guest sends it.
 * @param name of plain labels
 */
export function question(name: string, type: number): Buffer {
  const wire = wireName(name);
  if (wire === null) throw new RangeError(`${name} cannot be asked for`);
  const message: Message = {
    id: randomInt(0x10000),
    flags: FLAG.RD,
    opcode: 0,
    rcode: 0,
    questions: [{ name: wire, type, class: CLASS_IN }],
    answers: [],
    authorities: [],
    additionals: [],
    edns: { udpSize: 1232, version: 0, dnssecOk: false },
  };
  return encodeMessage(message, MAX_BYTES);
}
