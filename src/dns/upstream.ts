import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import { randomInt } from 'node:crypto';
import { encodeMessage } from './encode.ts';
import { FrameReader, frame } from './frames.ts';
import { CLASS_IN, FLAG, decodeHeader, decodeMessage, type Message } from './message.ts';
import { lowerName, sameName, type Name } from './name.ts';
import { MAX_UDP_BYTES } from './query.ts';
import { asItIs } from './as-it-is.ts';

/** A resolver to ask. */
export interface Upstream {
  /** IPv4, dotted. */
  address: string;
  port: number;
}

/** All of a guest's message that is ever sent on. */
export interface UpstreamQuestion {
  name: Name;
  type: number;
}

/** One try was for nothing; the message says why. */
export class TryFailed extends Error {
  override readonly name = 'TryFailed';
}

/**
 * Asks one upstream once: over UDP, and over TCP when the answer says it was
 * cut. Each query has a random id and its own socket, hence a random port
 * (RFC 5452 section 9.2); what comes from elsewhere, or with another id or
 * question, is ignored.
 * @param timeoutMs for each of the two
 * @throws TryFailed
 */
export async function askUpstream(
  upstream: Upstream,
  question: UpstreamQuestion,
  timeoutMs: number,
): Promise<Message> {
  const answer = await overUdp(upstream, buildQuery(question), timeoutMs);
  if (answer !== 'cut') return answer;
  return overTcp(upstream, buildQuery(question), timeoutMs);
}

function buildQuery({ name, type }: UpstreamQuestion): Message {
  return {
    id: randomInt(0x10000),
    flags: FLAG.RD,
    opcode: 0,
    rcode: 0,
    questions: [{ name: lowerName(name), type, class: CLASS_IN }],
    answers: [],
    authorities: [],
    additionals: [],
    edns: { udpSize: MAX_UDP_BYTES, version: 0, dnssecOk: false },
  };
}

/** The message in `bytes` if it is the answer to `query`. */
function matchAnswer(query: Message, bytes: Buffer): Message | null {
  const answer = decodeMessage(bytes);
  const [asked] = query.questions;
  const [question, second] = answer?.questions ?? [];
  const matches =
    answer !== null &&
    asked !== undefined &&
    question !== undefined &&
    second === undefined &&
    answer.id === query.id &&
    answer.opcode === 0 &&
    (answer.flags & FLAG.QR) !== 0 &&
    question.type === asked.type &&
    question.class === asked.class &&
    sameName(question.name, asked.name);
  return matches ? answer : null;
}

/** A cut answer may end in the middle of a record: of it only the header is read. */
function isCutAnswer(query: Message, bytes: Buffer): boolean {
  const header = decodeHeader(bytes);
  const both = FLAG.QR | FLAG.TC;
  return header !== null && header.id === query.id && (header.flags & both) === both;
}

function overUdp(upstream: Upstream, query: Message, timeoutMs: number): Promise<Message | 'cut'> {
  const { promise, resolve, reject } = Promise.withResolvers<Message | 'cut'>();
  const socket = createSocket({ type: 'udp4', lookup: asItIs });
  const fail = (why: string) => reject(new TryFailed(`${nameOf(upstream)} over UDP: ${why}`));
  const timer = setTimeout(() => fail(`no answer in ${timeoutMs} ms`), timeoutMs);
  socket.on('error', (error) => fail(error.message));
  socket.on('message', (bytes) => {
    const answer = isCutAnswer(query, bytes) ? 'cut' : matchAnswer(query, bytes);
    if (answer !== null) resolve(answer);
  });
  let closed = false;
  // 'connect' as an event: given a callback, connect() would pass it the error instead.
  socket.on('connect', () => {
    if (closed) return;
    socket.send(encodeMessage(query, MAX_UDP_BYTES), (error) => {
      if (error) fail(error.message);
    });
  });
  // A connected socket: the kernel drops what comes from any other address or
  // port, and hands us the peer's ICMP errors at once.
  socket.connect(upstream.port, upstream.address);
  return promise.finally(() => {
    clearTimeout(timer);
    closed = true;
    socket.close();
  });
}

function overTcp(upstream: Upstream, query: Message, timeoutMs: number): Promise<Message> {
  const { promise, resolve, reject } = Promise.withResolvers<Message>();
  const socket = connect({ host: upstream.address, port: upstream.port });
  const fail = (why: string) => reject(new TryFailed(`${nameOf(upstream)} over TCP: ${why}`));
  const timer = setTimeout(() => fail(`no answer in ${timeoutMs} ms`), timeoutMs);
  const reader = new FrameReader(0xffff);
  socket.on('error', (error) => fail(error.message));
  socket.on('close', () => fail('closed without an answer'));
  socket.on('data', (chunk) => {
    reader.push(chunk);
    const bytes = reader.next();
    if (!bytes) return;
    const answer = matchAnswer(query, bytes);
    if (answer === null) fail('answered something else');
    else resolve(answer);
  });
  socket.write(frame(encodeMessage(query, MAX_UDP_BYTES)));
  return promise.finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}

export function nameOf({ address, port }: Upstream): string {
  return `${address}:${port}`;
}
