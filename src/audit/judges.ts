import { settled, type Finding, type Trial } from './attempt.ts';
import type { Evidence } from './evidence.ts';
import { PROTOCOL, TCP } from './frames.ts';
import type { Conversation, Kit, Shot } from './kit.ts';
import { refusedAtOnce, said, type Site } from './site.ts';
import type { Packet } from '../policy/decide.ts';
import { decodeMessage, RCODE } from '../dns/message.ts';
import { ALERT, CONTENT } from '../proxy/tls-records.ts';

/** How trials end: from what was seen, never from what was not looked for. */

/** A packet that the VM's own rules hold: it does not come out of its network namespace. */
export function stays(what: string, shot: Shot): Trial {
  return { what, judge: (evidence) => judgeStay(evidence, shot) };
}

function judgeStay(evidence: Evidence, shot: Shot): Finding {
  const place = evidence.left(shot);
  if (place !== undefined) return escaped(`it left the VM's network namespace for ${place}`);
  const answer = evidence.answered(shot);
  if (answer !== undefined) return escaped(answer);
  if (evidence.refused(shot) === 'prohibited') return HELD;
  // A reset alone might be the destination's own.
  return evidence.whole ? HELD : UNSEEN;
}

/** A packet that only the host's table holds: the VM's own rules do not know the host's addresses. */
function heldByHost(what: string, shot: Shot): Trial {
  return {
    what,
    judge(evidence) {
      const answer = evidence.answered(shot);
      if (answer !== undefined) return escaped(answer);
      if (evidence.refused(shot) !== undefined) return held('the host refused it');
      return unjudged('nobody answered and nobody refused it');
    },
  };
}

/**
 * TCP, UDP or an echo request to a destination, or what the policy says if it is
 * not to be tried. What the resolver or the proxy takes has trials of its own.
 */
export function packetTrial(kit: Kit, packet: Packet): Trial {
  const { site } = kit;
  const what = wordsOf(packet);
  const { verdict, reason } = said(site, packet);
  if (verdict === 'allow') return settled('allowed', reason, what);
  const shot = shoot(kit, packet);
  return refusedAtOnce(site, packet) ? stays(what, shot) : heldByHost(what, shot);
}

function shoot(kit: Kit, { destination, protocol, port = 0 }: Packet): Shot {
  if (protocol === 'tcp') return kit.tcp(destination, port, TCP.SYN);
  if (protocol === 'udp') return kit.udp(destination, port);
  return kit.icmp(destination);
}

export function wordsOf({ protocol, destination, port }: Packet): string {
  const name = protocol === 'icmp' ? 'ping' : protocol.toUpperCase();
  return `${name} ${destination}${port === undefined ? '' : `:${port}`}`;
}

/** A query that must go to vmsan's resolver, wherever it was sent, and be refused there if its name is. */
export function queryTrial(what: string, shot: Shot, mayBeAnswered: boolean): Trial {
  return {
    what,
    judge(evidence) {
      const place = evidence.left(shot);
      if (place !== undefined && place !== 'the gate') return escaped(`it went to ${place}`);
      const answer = evidence.datagramFor(shot);
      if (answer !== undefined) return judgeAnswer(answer, mayBeAnswered);
      if (evidence.refused(shot) !== undefined) return HELD;
      if (place === undefined && evidence.whole) return HELD;
      if (place === 'the gate' && mayBeAnswered) return held("vmsan's resolver got it");
      return unjudged(place === undefined ? UNSEEN.detail : 'the resolver did not answer');
    },
  };
}

export function judgeAnswer(bytes: Buffer, mayBeAnswered: boolean): Finding {
  const message = decodeMessage(bytes);
  if (message === null) return unjudged('the answer cannot be read');
  if (message.rcode === RCODE.REFUSED) return held('the resolver refused it');
  if (mayBeAnswered) return held("vmsan's resolver answered it");
  return escaped(`it was answered (rcode ${message.rcode}, ${message.answers.length} records)`);
}

/** TLS to the proxy that must end with its alert. @param step the one whose answer counts */
export function alertTrial(what: string, conversation: Conversation, step = 0): Trial {
  return answerTrial(what, conversation, step, (answer, end) => {
    if (answer.length === 0) return unjudged(end);
    if (answer[0] !== CONTENT.ALERT) return escaped(`a server answered: ${beginning(answer)}`);
    const refusal: readonly (number | undefined)[] = [ALERT.ACCESS_DENIED, ALERT.DECODE_ERROR];
    if (refusal.includes(answer[6])) return held('the proxy refused it');
    return unjudged(`it ended with alert ${answer[6]}, which may be a server's`);
  });
}

/** HTTP to the proxy that must end with a page of its own. */
export function pageTrial(what: string, conversation: Conversation, step = 0): Trial {
  return answerTrial(what, conversation, step, (answer, end) => {
    if (answer.includes(PROXY_PAGE)) return held('the proxy refused it');
    if (answer.length > 0) return escaped(`a server answered: ${beginning(answer)}`);
    return unjudged(end);
  });
}

/** @param judge the answer that counts, and how the conversation ended, in words */
function answerTrial(
  what: string,
  conversation: Conversation,
  step: number,
  judge: (answer: Buffer, end: string) => Finding,
): Trial {
  return {
    what,
    judge(evidence) {
      const begun = judgeWay(evidence, conversation);
      if (begun !== undefined) return begun;
      const talked = evidence.talked(conversation);
      const answer = talked?.read[step];
      if (answer === undefined) return unjudged(endWords(talked?.end, step));
      return judge(answer, endWords(talked?.end));
    },
  };
}

/** How each page of the proxy's own begins (src/proxy/http-refusal.ts). */
export const PROXY_PAGE = Buffer.from('\r\n\r\nvmsan: ', 'latin1');

/** What the way of a conversation says, before its words: it may go to the gate, and nowhere else. */
export function judgeWay(evidence: Evidence, conversation: Conversation): Finding | undefined {
  const place = evidence.strayed(conversation);
  if (place !== undefined) return escaped(`it went to ${place}`);
  const talked = evidence.talked(conversation);
  if (talked === undefined) return unjudged('the guest did not say what became of it');
  if (talked.localPort !== 0) return undefined;
  if (talked.end === 'prohibited') return HELD;
  return evidence.whole ? HELD : UNSEEN;
}

const HELD: Finding = { verdict: 'held', detail: 'nothing of it left' };
const UNSEEN = unjudged('it was not answered, and nobody saw whether it left');

export function held(detail: string): Finding {
  return { verdict: 'held', detail };
}

export function escaped(detail: string): Finding {
  return { verdict: 'escaped', detail };
}

export function unjudged(detail: string): Finding {
  return { verdict: 'not judged', detail };
}

function endWords(end = 'nothing', step = 0): string {
  return step === 0
    ? `the connection ended without a word (${end})`
    : `it did not come to that (${end})`;
}

function beginning(bytes: Buffer): string {
  return bytes[0] === CONTENT.HANDSHAKE
    ? 'a TLS handshake'
    : JSON.stringify(bytes.subarray(0, 24).toString('latin1'));
}

/** Whether a site's packets of a protocol number can be judged at all: IGMP and the like are dropped silently. */
export function otherTrial(kit: Kit, destination: string, number: number): Trial {
  const protocol = number === PROTOCOL.ICMP ? 'icmp' : 'other';
  const { verdict, reason } = said(kit.site, { destination, protocol });
  const what = `protocol ${number} to ${destination}`;
  if (verdict === 'allow') return settled('allowed', reason, what);
  return stays(what, kit.other(destination, number));
}

export function isOpen(site: Site, packet: Packet): boolean {
  return said(site, packet).verdict === 'allow';
}
