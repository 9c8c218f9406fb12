import type { MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { ExecRequestSchema, ExecResponseSchema } from '../gen/vmsan/v1/agent_pb.js';

/**
 * The messages of AgentService.Exec in protobuf's binary form, by the field
 * numbers of agent.proto: what the generated code gives too, without the
 * descriptors that it first reads for 20 ms. A test holds the two together.
 */
export type ExecRequestMessage = NonNullable<MessageInitShape<typeof ExecRequestSchema>['message']>;
export type ExecResponseMessage = MessageShape<typeof ExecResponseSchema>['message'];

/** An ExecRequest. */
export function encodeExecRequest(message: ExecRequestMessage): Uint8Array {
  const writer = new BinaryWriter();
  switch (message.case) {
    case 'start': {
      const { argv = [], env = [], cwd = '', user = '', stdin = false } = message.value;
      writer.tag(1, WireType.LengthDelimited).fork();
      for (const word of argv) writer.tag(1, WireType.LengthDelimited).string(word);
      for (const variable of env) writer.tag(2, WireType.LengthDelimited).string(variable);
      if (cwd !== '') writer.tag(3, WireType.LengthDelimited).string(cwd);
      if (user !== '') writer.tag(4, WireType.LengthDelimited).string(user);
      if (stdin) writer.tag(5, WireType.Varint).bool(true);
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
    case undefined:
      break;
  }
  return writer.finish();
}
