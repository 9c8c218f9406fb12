/**
 * What the guest's `probe` (agent/internal/probe) is asked and answers, as JSON
 * lines. Its answers are the guest's: checked field by field, and bounded by
 * who reads them.
 */
export interface Step {
  /** Each in a segment of its own. */
  send?: readonly Buffer[];
  /** Reads until there are so many bytes, or this sequence. */
  atLeast?: number;
  until?: Buffer;
  /** What was read must hold this, or the conversation ends here. */
  must?: Buffer;
}

export interface Talk {
  address: string;
  port: number;
  deadlineMs: number;
  steps: readonly Step[];
}

export interface Talked {
  /** 0 when it never connected. */
  localPort: number;
  read: readonly Buffer[];
  /** As in talk.go: `done`, `must`, `refused`, `prohibited`, `reset`, `eof`, `timeout`, or other words. */
  end: string;
}

export interface Answers {
  talks: ReadonlyMap<number, Talked>;
  received: readonly Buffer[];
  /** Why something could not be done in the guest. */
  errors: readonly string[];
}

/** Of the frames; talks count from 1. */
const FRAMES_ID = 0;

export function requestLines(
  frames: { link: string; send: readonly Buffer[]; listenMs: number },
  talks: readonly Talk[],
): string {
  const lines = [
    { id: FRAMES_ID, frames: { ...frames, send: frames.send.map(base64) } },
    ...talks.map(({ steps, ...talk }, at) => ({
      id: at + 1,
      talk: { ...talk, steps: steps.map(stepJson) },
    })),
  ];
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}

function stepJson({ send, until, must, ...rest }: Step) {
  return {
    ...rest,
    ...(send === undefined ? {} : { send: send.map(base64) }),
    ...(until === undefined ? {} : { until: base64(until) }),
    ...(must === undefined ? {} : { must: base64(must) }),
  };
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64');
}

/** Reads what the probe printed. Lines that are none of its answers are left out. */
export function readAnswers(text: string): Answers {
  const talks = new Map<number, Talked>();
  const errors: string[] = [];
  let received: readonly Buffer[] = [];
  for (const line of text.split('\n')) {
    const answer = objectOf(parsed(line));
    const { id } = answer;
    if (typeof id !== 'number') continue;
    if (typeof answer['error'] === 'string') errors.push(answer['error'].slice(0, MAX_WORDS));
    if (id === FRAMES_ID) received = buffersOf(objectOf(answer['frames'])['received']);
    const talked = objectOf(answer['talk']);
    const { localPort, end } = talked;
    if (typeof localPort !== 'number' || typeof end !== 'string') continue;
    talks.set(id, { localPort, end: end.slice(0, MAX_WORDS), read: buffersOf(talked['read']) });
  }
  return { talks, received, errors };
}

const MAX_WORDS = 200;

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function buffersOf(value: unknown): Buffer[] {
  if (!Array.isArray(value)) return [];
  return value.filter((one) => typeof one === 'string').map((one) => Buffer.from(one, 'base64'));
}
