import { randomBytes, randomInt } from 'node:crypto';
import {
  ACK,
  answerHead,
  END_HEADERS,
  END_STREAM,
  frame,
  FRAME,
  literal,
  uint32,
  type Wire,
} from './http2-wire.ts';

const SETTINGS = frame(FRAME.settings, 0, 0);
const PAGE = Buffer.alloc(16_000, ' ');
const many = (n: number, one: Buffer) => Buffer.concat(Array.from({ length: n }, () => one));

/** What a hostile agent does with a host that has greeted it. */
export type Attack = (wire: Wire) => Promise<unknown>;

/** The host has asked who answers, and then for something: the attack is handed the stream. */
const onCall =
  (attack: (wire: Wire, stream: number) => Promise<unknown>): Attack =>
  async (wire) => {
    await wire.send(SETTINGS, answerHead(await wire.request(), '404'));
    return attack(wire, await wire.request());
  };

/** At once, after the settings that make it HTTP/2. */
const atOnce =
  (attack: (wire: Wire) => Promise<unknown>): Attack =>
  async (wire) => {
    await wire.send(SETTINGS);
    return attack(wire);
  };

async function randomFrames(wire: Wire): Promise<void> {
  const some = () => frame(randomInt(12), randomInt(256), randomInt(8), randomBytes(randomInt(99)));
  while (await wire.send(some()));
}

async function pushes(wire: Wire, call: number): Promise<void> {
  // GET http://a/, indexed but for the authority.
  const request = Buffer.from('828684410161', 'hex');
  const data = (stream: number) => frame(FRAME.data, 0, stream, PAGE);
  const push = (stream: number) => [
    frame(FRAME.push, END_HEADERS, call, Buffer.concat([uint32(stream), request])),
    answerHead(stream),
    data(stream),
  ];
  for (let stream = 2; await wire.send(...push(stream)); stream += 2);
}

/** Never answered; for as long as the host will have it. */
export const ATTACKS = {
  'says nothing': async () => {},
  'hangs up': async (wire) => wire.socket.destroy(),
  'sends random bytes': (wire) => wire.sendForEver(randomBytes(65_536)),
  'sends random frames': atOnce(randomFrames),
  'sends frames of no known type': atOnce((wire) => wire.sendForEver(frame(0x42, 0, 0, PAGE))),
  'floods with PING': atOnce((wire) =>
    wire.sendForEver(many(4000, frame(FRAME.ping, 0, 0, Buffer.alloc(8)))),
  ),
  'floods with PING and reads no answer': atOnce((wire) => {
    wire.deaf();
    return wire.sendForEver(many(4000, frame(FRAME.ping, 0, 0, Buffer.alloc(8))));
  }),
  'floods with SETTINGS': atOnce((wire) => wire.sendForEver(many(4000, SETTINGS))),
  'confirms settings that nobody sent': atOnce((wire) =>
    wire.sendForEver(frame(FRAME.settings, ACK, 0)),
  ),
  'floods with PRIORITY': atOnce((wire) =>
    wire.sendForEver(many(4000, frame(FRAME.priority, 0, 1, Buffer.from('0000000001', 'hex')))),
  ),
  'floods with ALTSVC': atOnce((wire) => {
    const service = Buffer.from('\0\x08http://aAAAA');
    return wire.sendForEver(many(400, frame(FRAME.altsvc, 0, 0, service)));
  }),
  'says goodbye at once': atOnce((wire) => wire.send(frame(FRAME.goaway, 0, 0, Buffer.alloc(8)))),
  'sends headers without end': onCall(async (wire, call) => {
    await wire.send(frame(FRAME.headers, 0, call, literal('a', 'b')));
    await wire.sendForEver(frame(FRAME.continuation, 0, call, literal('x', 'y'.repeat(16_000))));
  }),
  'sends thousands of headers': onCall((wire, call) =>
    wire.send(answerHead(call, '200', many(3000, literal('x', 'y')))),
  ),
  'packs a bomb of headers': onCall((wire, call) => {
    const bomb = literal('x', 'y'.repeat(3900));
    // Kept in the dynamic table, then named four thousand times.
    bomb[0] = 0x40;
    return wire.send(answerHead(call, '200', bomb, Buffer.alloc(4000, 0xbe)));
  }),
  'sends hints (103) without end': onCall((wire, call) => {
    const hint = Buffer.concat([literal(':status', '103'), literal('link', 'x'.repeat(1000))]);
    return wire.sendForEver(many(20, frame(FRAME.headers, END_HEADERS, call, hint)));
  }),
  'floods with RST_STREAM': onCall((wire, call) =>
    wire.sendForEver(many(4000, frame(FRAME.reset, 0, call, uint32(0)))),
  ),
  'goes on after its own RST_STREAM': onCall(async (wire, call) => {
    await wire.send(frame(FRAME.reset, 0, call, uint32(0)));
    await wire.sendForEver(many(20, frame(FRAME.data, 0, call, PAGE)));
  }),
  'sends empty DATA': onCall(async (wire, call) => {
    await wire.send(answerHead(call));
    await wire.sendForEver(many(4000, frame(FRAME.data, 0, call)));
  }),
  'opens its window byte by byte': onCall((wire) =>
    wire.sendForEver(many(4000, frame(FRAME.windowUpdate, 0, 0, uint32(1)))),
  ),
  'pushes without end': onCall(pushes),
  'pushes without end and reads nothing': onCall((wire, call) => {
    wire.deaf();
    return pushes(wire, call);
  }),
  'answers 4 GiB': onCall(async (wire, call) => {
    await wire.send(answerHead(call, '200', literal('content-length', String(2 ** 32))));
    await wire.sendForEver(frame(FRAME.data, 0, call, PAGE));
  }),
  'answers without end': onCall(async (wire, call) => {
    await wire.send(answerHead(call));
    await wire.sendForEver(frame(FRAME.data, 0, call, PAGE));
  }),
  'answers with an error without end': onCall(async (wire, call) => {
    await wire.send(answerHead(call, '500'));
    await wire.sendForEver(frame(FRAME.data, 0, call, PAGE));
  }),
  'answers with a long error': onCall((wire, call) => {
    const error = Buffer.from(JSON.stringify({ code: 'internal', message: 'x'.repeat(10_000) }));
    const json = Buffer.concat([
      literal(':status', '500'),
      literal('content-type', 'application/json'),
    ]);
    return wire.send(
      frame(FRAME.headers, END_HEADERS, call, json),
      frame(FRAME.data, END_STREAM, call, error),
    );
  }),
  'answers with a status that is none': onCall((wire, call) => wire.send(answerHead(call, '999'))),
  'compresses its answer': onCall((wire, call) =>
    wire.send(
      answerHead(call, '200', literal('content-encoding', 'gzip')),
      frame(FRAME.data, END_STREAM, call, PAGE),
    ),
  ),
} satisfies Record<string, Attack>;

export type AttackName = keyof typeof ATTACKS;
