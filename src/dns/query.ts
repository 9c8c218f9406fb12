import {
  CLASS_IN,
  FLAG,
  RCODE,
  TYPE,
  decodeHeader,
  decodeMessage,
  type Edns,
  type ExtendedError,
  type Message,
  type Question,
  type ResourceRecord,
} from './message.ts';
import { encodeMessage } from './encode.ts';
import { sameName } from './name.ts';

export type Transport = 'udp' | 'tcp';

/** A guest's message is at most this long; a query with the longest name and some options is under 1 KiB. */
export const MAX_QUERY_BYTES = 4096;

/** Without fragments on every path: what DNS flag day 2020 settled on. */
export const MAX_UDP_BYTES = 1232;
/** RFC 1035 section 2.3.4, for who sends no OPT record. */
const PLAIN_UDP_BYTES = 512;

/** What of a guest's message its answer is made from. */
export interface Asked {
  id: number;
  opcode: number;
  /** RD and CD, which an answer repeats. */
  flags: number;
  edns: Edns | undefined;
  question: Question | undefined;
}

/** A guest's message: a question to answer, or what is wrong with it as an rcode. Null: no answer at all. */
export type Reading =
  | { kind: 'question'; asked: Asked; question: Question }
  | { kind: 'wrong'; asked: Asked; rcode: number; why?: string };

/**
 * Reads what a guest sent. Null for what is too short or too long to be a query,
 * and for answers: answering those could go on for ever.
 */
export function readQuery(bytes: Buffer): Reading | null {
  const header = decodeHeader(bytes);
  if (header === null || bytes.length > MAX_QUERY_BYTES) return null;
  if ((header.flags & FLAG.QR) !== 0) return null;
  const asked: Asked = {
    id: header.id,
    opcode: header.opcode,
    flags: header.flags & (FLAG.RD | FLAG.CD),
    edns: undefined,
    question: undefined,
  };
  if (header.opcode !== 0) return { kind: 'wrong', asked, rcode: RCODE.NOTIMP };
  const message = decodeMessage(bytes);
  if (message === null) return { kind: 'wrong', asked, rcode: RCODE.FORMERR };
  asked.edns = message.edns;
  const [question, second] = message.questions;
  const strange = message.answers.length + message.authorities.length;
  if (question === undefined || second !== undefined || strange !== 0) {
    return { kind: 'wrong', asked, rcode: RCODE.FORMERR };
  }
  asked.question = question;
  if (message.edns !== undefined && message.edns.version !== 0) {
    return { kind: 'wrong', asked, rcode: RCODE.BADVERS };
  }
  if (question.class !== CLASS_IN) {
    const why = 'vmsan: only questions of class IN are answered';
    return { kind: 'wrong', asked, rcode: RCODE.REFUSED, why };
  }
  if (isMetaType(question.type)) {
    const why = `vmsan: questions of type ${question.type} are not answered: no record has it`;
    return { kind: 'wrong', asked, rcode: RCODE.NOTIMP, why };
  }
  return { kind: 'question', asked, question };
}

/** Types that are no records: OPT, and 128 to 255 with ANY and zone transfers (RFC 6895 section 3.1). */
function isMetaType(type: number): boolean {
  return type === 0 || type === TYPE.OPT || (type >= 128 && type <= 255);
}

/** INFO-CODEs of RFC 8914 section 4. */
export const EXTENDED_ERROR = {
  OTHER: 0,
  FILTERED: 17,
  PROHIBITED: 18,
  NOT_SUPPORTED: 21,
  NO_REACHABLE_AUTHORITY: 22,
} as const;

export interface Reply {
  rcode: number;
  answers?: ResourceRecord[];
  authorities?: ResourceRecord[];
  /** Sent when the guest speaks EDNS. */
  extendedError?: ExtendedError;
}

/**
 * The bytes of the answer to what was asked: its id, its question letter for
 * letter, cut to the size that its transport and OPT record allow.
 */
export function encodeReply(asked: Asked, reply: Reply, transport: Transport): Buffer {
  const { question, edns } = asked;
  // BADVERS needs an OPT record; who sent one can read one (RFC 6891 section 7).
  const message: Message = {
    id: asked.id,
    flags: FLAG.QR | FLAG.RA | asked.flags,
    opcode: asked.opcode,
    rcode: reply.rcode,
    questions: question === undefined ? [] : [question],
    answers: (reply.answers ?? []).map((record) => inTheCaseOf(question, record)),
    authorities: reply.authorities ?? [],
    additionals: [],
    edns: edns && {
      udpSize: MAX_UDP_BYTES,
      version: 0,
      dnssecOk: edns.dnssecOk,
      extendedError: reply.extendedError,
    },
  };
  return encodeMessage(message, transport === 'tcp' ? 0xffff : udpLimit(edns));
}

function udpLimit(edns: Edns | undefined): number {
  const size = edns?.udpSize ?? PLAIN_UDP_BYTES;
  return Math.min(Math.max(size, PLAIN_UDP_BYTES), MAX_UDP_BYTES);
}

/** Some clients compare the owner's letters with those they sent (0x20, as a defence). */
function inTheCaseOf(question: Question | undefined, record: ResourceRecord): ResourceRecord {
  if (question === undefined || !sameName(record.name, question.name)) return record;
  return { ...record, name: question.name };
}
