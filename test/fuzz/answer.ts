import assert from 'node:assert/strict';
import { readAnswer } from '../../src/dns/found.ts';
import { FLAG, RCODE, TYPE, decodeMessage, type Message } from '../../src/dns/message.ts';
import { readName, sameName } from '../../src/dns/name.ts';
import { encodeReply } from '../../src/dns/query.ts';
import { viewOf } from '../../src/dns/view.ts';

const RULES = { keeps: (address: string) => address.startsWith('192.0.2.') };
/** ipv4hint, ech, ipv6hint (RFC 9460 section 14.3.2). */
const HIDDEN = [4, 5, 6];

/**
 * What a guest under domain rules would get of a message, were it an upstream's
 * answer to its own question: addresses that it may reach, one chain of
 * aliases, no parameter that leads around the proxy.
 * @returns in few words what it was
 */
export function checkAnswer(message: Message): string {
  const [question] = message.questions;
  if (question === undefined || message.rcode > RCODE.NXDOMAIN) return 'no answer';
  const found = readAnswer(question, message);
  if (found === null) return 'a circle';
  assert.ok(found.ttl >= 0 && found.ttl <= 3600);
  const { reply, addresses } = viewOf(question.type, found, RULES);
  const asked = { id: 1, opcode: 0, flags: 0, edns: undefined, question };
  const sent = decodeMessage(encodeReply(asked, reply, 'tcp'));
  assert.ok(sent);
  if ((sent.flags & FLAG.TC) !== 0) return 'too long';
  let owner = question.name;
  for (const { name, type, ttl, data } of sent.answers) {
    assert.ok(sameName(name, owner));
    assert.ok(ttl <= 3600);
    if (type === TYPE.CNAME && question.type !== TYPE.CNAME) {
      const target = readName(data, 0);
      assert.ok(target);
      owner = target.name;
      continue;
    }
    assert.equal(type, question.type);
    if (type === TYPE.A) assert.ok(addresses.includes(data.join('.')) && data[0] === 192);
    if (type === TYPE.HTTPS || type === TYPE.SVCB) assert.ok(!keysOf(data).some(isHidden));
  }
  if (addresses.length > 0) return 'addresses';
  return sent.answers.length > 0 ? 'records' : 'no records';
}

function isHidden(key: number): boolean {
  return HIDDEN.includes(key) || key > 6;
}

/** The keys of a service record's parameters, which are well formed by now. */
function keysOf(data: Buffer): number[] {
  const keys: number[] = [];
  let at = readName(data, 2)?.next ?? data.length;
  while (at < data.length) {
    keys.push(data.readUInt16BE(at));
    at += 4 + data.readUInt16BE(at + 2);
  }
  return keys;
}
