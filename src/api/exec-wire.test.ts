import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { ExecRequestSchema, ExecResponseSchema } from '../gen/vmsan/v1/agent_pb.js';
import { decodeExecResponse, encodeExecRequest, type ExecRequestMessage } from './exec-wire.ts';

const REQUESTS: ExecRequestMessage[] = [
  { case: 'start', value: {} },
  {
    case: 'start',
    value: {
      argv: ['sh', '', 'größe \u{1f5a5}', '-c'],
      env: ['A=1', 'B='],
      cwd: '/tmp',
      user: 'vmsan:adm',
      stdin: true,
    },
  },
  { case: 'start', value: { argv: ['top'], tty: {} } },
  {
    case: 'start',
    value: { stdin: true, tty: { size: { rows: 24, columns: 300 }, term: 'xterm-256color' } },
  },
  { case: 'resize', value: { rows: 65_535, columns: 1 } },
  { case: 'resize', value: {} },
  { case: 'stdin', value: Buffer.alloc(70_000, 7) },
  { case: 'stdin', value: new Uint8Array() },
  { case: 'stdinEnd', value: {} },
  { case: 'signal', value: 15 },
  { case: 'signal', value: 0 },
  { case: 'attach', value: {} },
  { case: 'attach', value: { id: '3f9a02c1', received: 5_000_000_000n, stdin: true, tty: true } },
];

test('a request is what the generated code makes of it', () => {
  for (const message of REQUESTS) {
    const expected = toBinary(ExecRequestSchema, create(ExecRequestSchema, { message }));
    assert.deepEqual(Buffer.from(encodeExecRequest(message)), Buffer.from(expected));
  }
});

const RESPONSES: MessageInitShape<typeof ExecResponseSchema>[] = [
  { message: { case: 'started', value: { pid: 4_000_000_000 } } },
  {
    message: {
      case: 'started',
      value: { pid: 7, id: '3f9a02c1', lost: 5_000_000_000n, stdinGiven: 1n },
    },
  },
  { message: { case: 'stdout', value: Buffer.from('hello') } },
  { message: { case: 'stderr', value: new Uint8Array() } },
  { message: { case: 'exited', value: { code: 137, signal: 9 } } },
  { message: { case: 'exited', value: {} } },
  { message: { case: 'failed', value: { code: 127, message: 'größe: not found' } } },
  {},
];

test('a response is read as the generated code reads it', () => {
  for (const response of RESPONSES) {
    const bytes = toBinary(ExecResponseSchema, create(ExecResponseSchema, response));
    const { message } = fromBinary(ExecResponseSchema, bytes);
    const { $typeName: _, ...fields } = { $typeName: '', ...(message.value as object) };
    const value = Object.fromEntries(
      Object.entries(fields).map(([name, field]) => [
        name,
        typeof field === 'bigint' ? Number(field) : field,
      ]),
    );
    const got = decodeExecResponse(bytes);
    assert.equal(got.case, message.case);
    if (got.case !== undefined) assert.deepEqual({ ...got.value }, value);
  }
});

test('fields of a newer agent are passed over, and junk is an error', () => {
  // Field 9 as a varint, field 10 as bytes, field 11 fixed32; then stdout "x".
  const newer = Buffer.from([0x48, 0x05, 0x52, 0x01, 0x61, 0x5d, 1, 2, 3, 4, 0x12, 0x01, 0x78]);
  assert.deepEqual(decodeExecResponse(newer), { case: 'stdout', value: Buffer.from('x') });
  for (const junk of [[0x12, 0x05, 0x78], [0xff], [0x00]]) {
    assert.throws(() => decodeExecResponse(Buffer.from(junk)));
  }
});
