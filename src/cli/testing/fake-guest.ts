import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError, type HandlerContext } from '@connectrpc/connect';
import { VM_HEADER } from '../../api/handshake.ts';
import type {
  ExecAttach,
  ExecRequest,
  ExecResponseSchema,
  ExecStart,
} from '../../gen/vmsan/v1/agent_pb.js';
import { Failure } from '../../host/failure.ts';
import { toConnectError } from '../../api/errors.ts';

type Response = MessageInitShape<typeof ExecResponseSchema>;

const out = (text: string): Response => ({ message: { case: 'stdout', value: Buffer.from(text) } });
const err = (text: string): Response => ({ message: { case: 'stderr', value: Buffer.from(text) } });
const exited = (code: number, signal = 0): Response => ({
  message: { case: 'exited', value: { code, signal } },
});

/** An agent whose programs are these few words; the VM must be called "web". */
export async function* fakeExec(
  requests: AsyncIterable<ExecRequest>,
  context: HandlerContext,
): AsyncGenerator<Response> {
  if (context.requestHeader.get(VM_HEADER) !== 'web') {
    throw toConnectError(new Failure('not_found', 'there is no VM like that'));
  }
  const inbox = requests[Symbol.asyncIterator]();
  const start = await next(inbox);
  if (start?.message.case === 'attach') {
    yield* attached(start.message.value, inbox);
    return;
  }
  if (start?.message.case !== 'start') throw new Error('the first message is not `start`');
  const { argv } = start.message.value;
  if (argv[0] === 'missing') {
    yield {
      message: { case: 'failed', value: { code: 127, message: 'missing: not\x1b[31m found' } },
    };
    return;
  }
  if (argv[0] === 'mute') await new Promise(() => {});
  // An agent of old has no ids.
  const id = argv[0] === 'old' ? '' : LEFT;
  yield { message: { case: 'started', value: { pid: 7, id } } };
  yield* programs(start.message.value, inbox);
}

/** The only command that can be attached to. */
const LEFT = '3f9a02c1';

async function* attached(
  wanted: ExecAttach,
  inbox: AsyncIterator<ExecRequest>,
): AsyncGenerator<Response> {
  const { id, received, stdin, tty } = wanted;
  if (id !== '' && id !== LEFT) throw new ConnectError(`no command ${id} runs`, Code.NotFound);
  // Of 20 bytes the first 5 are not kept.
  const lost = received < 5n ? 5n - received : 0n;
  yield { message: { case: 'started', value: { pid: 7, id: LEFT, lost, stdinGiven: 9n } } };
  yield out('ABCDEFGHIJKLMNOPQRST'.slice(Number(received + lost)));
  if (stdin && !tty) {
    const got = await next(inbox);
    yield out(got?.message.case === 'stdin' ? Buffer.from(got.message.value).toString() : '?');
  }
  if (tty) {
    for (let got = await next(inbox); got?.message.case !== 'stdin'; got = await next(inbox)) {
      yield out(`${got?.message.case} `);
    }
  }
  yield exited(6);
}

async function* programs(
  start: ExecStart,
  inbox: AsyncIterator<ExecRequest>,
): AsyncGenerator<Response> {
  const [name = '', ...args] = start.argv;
  switch (name) {
    case 'show': {
      const { argv, env, cwd, user, stdin } = start;
      yield out(JSON.stringify({ argv, env, cwd, user, stdin }));
      yield exited(0);
      return;
    }
    case 'both':
      yield out('to stdout\n');
      yield err('to stderr\n');
      yield exited(Number(args[0] ?? 0));
      return;
    case 'cat':
      for (let got = await next(inbox); got?.message.case === 'stdin'; got = await next(inbox)) {
        yield { message: { case: 'stdout', value: got.message.value } };
      }
      yield exited(0);
      return;
    case 'flood':
      for (let sent = 0; sent < Number(args[0]); sent += 1) yield out('x'.repeat(65_536));
      yield exited(0);
      return;
    case 'wait': {
      yield out('waiting\n');
      const got = await next(inbox);
      const signal = got?.message.case === 'signal' ? got.message.value : 0;
      yield exited(128 + signal, signal);
      return;
    }
    case 'count':
    case 'old':
      // Until the daemon goes away.
      yield out('one\n');
      yield err('two\n');
      yield out('three\n');
      await next(inbox);
      return;
    case 'told':
      // Its end is told; then the daemon goes away.
      yield exited(5);
      yield out('three\n');
      await new Promise(() => {});
      return;
    case 'keys': {
      // What a terminal is told, line by line, until "q" is typed.
      const { size, term } = start.tty ?? {};
      yield out(`${size?.rows}x${size?.columns} ${term}\n`);
      for (let got = await next(inbox); got !== undefined; got = await next(inbox)) {
        const { message } = got;
        if (message.case === 'resize')
          yield out(`${message.value.rows}x${message.value.columns}\n`);
        if (message.case === 'signal') yield out(`signal ${message.value}\n`);
        if (message.case !== 'stdin') continue;
        yield out(`${JSON.stringify(Buffer.from(message.value).toString())}\n`);
        if (message.value[0] === 0x71) break;
        if (message.value[0] === 0x78) throw new Error('the fake guest breaks');
      }
      yield exited(9);
      return;
    }
    default:
      throw new Error(`the fake guest has no program ${name}`);
  }
}

async function next(inbox: AsyncIterator<ExecRequest>): Promise<ExecRequest | undefined> {
  const result = await inbox.next();
  return result.done === true ? undefined : result.value;
}
