import type { MessageInitShape } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { ExecRequestSchema, TerminalSizeSchema } from '../gen/vmsan/v1/agent_pb.js';

/**
 * The messages of AgentService.Exec in protobuf's binary form, by the field
 * numbers of agent.proto: what the generated code gives too, without the
 * descriptors that it first reads for 20 ms. A test holds the two together.
 */
export type ExecRequestMessage = NonNullable<MessageInitShape<typeof ExecRequestSchema>['message']>;
export type ExecResponseMessage =
  | { case: 'started'; value: Started }
  | { case: 'stdout' | 'stderr'; value: Uint8Array }
  | { case: 'exited'; value: { code: number; signal: number } }
  | { case: 'failed'; value: { code: number; message: string } }
  /** A message of a newer agent. */
  | { case: undefined };

export interface Started {
  pid: number;
  /** Empty: an agent that cannot be attached to. */
  id: string;
  /** Bytes of output that are not kept any more. */
  lost: number;
  /** Bytes of stdin that the process was given so far. */
  stdinGiven: number;
}

/** An ExecRequest. */
export function encodeExecRequest(message: ExecRequestMessage): Uint8Array {
  const writer = new BinaryWriter();
  switch (message.case) {
    case 'start': {
      const { argv = [], env = [], cwd = '', user = '', stdin = false, tty } = message.value;
      writer.tag(1, WireType.LengthDelimited).fork();
      for (const word of argv) writer.tag(1, WireType.LengthDelimited).string(word);
      for (const variable of env) writer.tag(2, WireType.LengthDelimited).string(variable);
      if (cwd !== '') writer.tag(3, WireType.LengthDelimited).string(cwd);
      if (user !== '') writer.tag(4, WireType.LengthDelimited).string(user);
      if (stdin) writer.tag(5, WireType.Varint).bool(true);
      if (tty !== undefined) {
        writer.tag(6, WireType.LengthDelimited).fork();
        if (tty.size !== undefined) writeSize(writer, 1, tty.size);
        if (tty.term) writer.tag(2, WireType.LengthDelimited).string(tty.term);
        writer.join();
      }
      writer.join();
      break;
    }
    case 'stdin':
      writer.tag(2, WireType.LengthDelimited).bytes(message.value);
      break;
    case 'stdinEnd':
      writer.tag(3, WireType.LengthDelimited).fork().join();
      break;
    case 'signal':
      writer.tag(4, WireType.Varint).uint32(message.value);
      break;
    case 'resize':
      writeSize(writer, 5, message.value);
      break;
    case 'attach': {
      const { id = '', received = 0n, stdin = false, tty = false } = message.value;
      writer.tag(6, WireType.LengthDelimited).fork();
      if (id !== '') writer.tag(1, WireType.LengthDelimited).string(id);
      if (received !== 0n) writer.tag(2, WireType.Varint).uint64(received);
      if (stdin) writer.tag(3, WireType.Varint).bool(true);
      if (tty) writer.tag(4, WireType.Varint).bool(true);
      writer.join();
      break;
    }
    case undefined:
      break;
  }
  return writer.finish();
}

function writeSize(
  writer: BinaryWriter,
  field: number,
  { rows = 0, columns = 0 }: MessageInitShape<typeof TerminalSizeSchema>,
): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  if (rows !== 0) writer.tag(1, WireType.Varint).uint32(rows);
  if (columns !== 0) writer.tag(2, WireType.Varint).uint32(columns);
  writer.join();
}

/**
 * An ExecResponse. Its bytes may be a hostile agent's.
 * @throws Error when they are no protobuf
 */
export function decodeExecResponse(bytes: Uint8Array): ExecResponseMessage {
  let message: ExecResponseMessage = { case: undefined };
  for (const { number, data } of fields(bytes)) {
    if (typeof data === 'number') continue;
    switch (number) {
      case 1:
        message = {
          case: 'started',
          value: {
            pid: numberAt(data, 1),
            id: textAt(data, 2),
            lost: numberAt(data, 3),
            stdinGiven: numberAt(data, 4),
          },
        };
        break;
      case 2:
        message = { case: 'stdout', value: data };
        break;
      case 3:
        message = { case: 'stderr', value: data };
        break;
      case 4:
        message = { case: 'exited', value: { code: numberAt(data, 1), signal: numberAt(data, 2) } };
        break;
      case 5:
        message = { case: 'failed', value: { code: numberAt(data, 1), message: textAt(data, 2) } };
        break;
      default:
        break;
    }
  }
  return message;
}

/** The fields of a message, those of types that we have no use for left out. */
function* fields(bytes: Uint8Array): Generator<{ number: number; data: number | Uint8Array }> {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (type === WireType.Varint) yield { number, data: Number(reader.uint64()) };
    else if (type === WireType.LengthDelimited) yield { number, data: reader.bytes() };
    else reader.skip(type, number);
  }
}

function numberAt(message: Uint8Array, field: number): number {
  let found = 0;
  for (const { number, data } of fields(message)) {
    if (number === field && typeof data === 'number') found = data;
  }
  return found;
}

function textAt(message: Uint8Array, field: number): string {
  let found = '';
  for (const { number, data } of fields(message)) {
    if (number === field && typeof data !== 'number') found = Buffer.from(data).toString();
  }
  return found;
}
