import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { fakeDaemon, type FakeDaemon } from './testing/fake-daemon.ts';
import { bundledProgram, type Program } from './testing/program.ts';

let vmsan: Program;
let daemon: FakeDaemon;
before(async () => {
  vmsan = await bundledProgram();
  daemon = await fakeDaemon({});
});
after(async () => {
  await daemon[Symbol.asyncDispose]();
  await vmsan[Symbol.asyncDispose]();
});

async function shown(words: string[], env?: Record<string, string>): Promise<unknown> {
  const options = { ...daemon, ...(env === undefined ? {} : { env }) };
  const ended = await vmsan.run(['exec', ...words], options);
  assert.equal(ended.code, 0, ended.stderr);
  return JSON.parse(ended.stdout);
}

const NOTHING = { env: [], cwd: '', user: '', stdin: false };

test("what follows the VM's name is the guest's, word for word", async () => {
  const words = ['-i', '--json', '$HOME;', '', '--', '-e'];
  const argv = ['show', ...words];
  assert.deepEqual(await shown(['web', ...argv]), { ...NOTHING, argv });
  assert.deepEqual(await shown(['web', '--', ...argv]), { ...NOTHING, argv });
  assert.deepEqual(await shown(['--', 'web', ...argv]), { ...NOTHING, argv });
});

test('user, directory, environment and stdin are passed on', async () => {
  const flags = [
    '-i',
    '-u',
    'vmsan:adm',
    '--workdir=/tmp',
    '-e',
    'A=1=2',
    '--env',
    'B=',
    '-e',
    'C',
  ];
  assert.deepEqual(await shown([...flags, '-e', 'D', 'web', 'show'], { C: 'ours' }), {
    argv: ['show'],
    env: ['A=1=2', 'B=', 'C=ours'],
    cwd: '/tmp',
    user: 'vmsan:adm',
    stdin: true,
  });
});

test('stdout and stderr stay apart, the exit code passes through', async () => {
  const ended = await vmsan.run(['exec', 'web', 'both', '42'], daemon);
  assert.deepEqual(ended, { code: 42, stdout: 'to stdout\n', stderr: 'to stderr\n' });
});

test('--json gives output and end in one object, and the same exit code', async () => {
  const ended = await vmsan.run(['exec', '--json', 'web', 'both', '3'], daemon);
  assert.deepEqual(JSON.parse(ended.stdout), {
    exitCode: 3,
    signal: null,
    stdout: 'to stdout\n',
    stderr: 'to stderr\n',
  });
  assert.equal(ended.code, 3);
});

test('stdin goes in only with -i, whole, until its end', async () => {
  const bytes = Buffer.alloc(3_000_000, 'vmsan!');
  const stdin = bytes.toString();
  const piped = await vmsan.run(['exec', '-i', 'web', 'cat'], { ...daemon, stdin });
  assert.equal(piped.code, 0, piped.stderr);
  assert.ok(piped.stdout === stdin);
});

test('output is complete however slowly it is read', async () => {
  const child = vmsan.start(['exec', 'web', 'flood', '200'], daemon);
  const closed = once(child, 'close');
  let bytes = 0;
  for await (const chunk of child.stdout!) bytes += (chunk as Buffer).length;
  const [code] = await closed;
  assert.equal(bytes, 200 * 65_536);
  assert.equal(code, 0);
});

test('a reader that goes away ends the command quietly', async () => {
  const child = vmsan.start(['exec', 'web', 'flood', '100000'], daemon);
  const closed = once(child, 'close');
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdout?.once('data', () => child.stdout?.destroy());
  const [code] = await closed;
  assert.equal(stderr, '');
  assert.equal(code, 141);
});

test('a signal reaches the process, which says how it ended', async () => {
  for (const [name, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
  ] as const) {
    const child = vmsan.start(['exec', '-i', 'web', 'wait'], daemon);
    const closed = once(child, 'close');
    child.stdout?.once('data', () => child.kill(name));
    const [code, signal] = await closed;
    assert.deepEqual([code, signal], [128 + number, null]);
  }
});

test('exec ends with the process, though nobody has closed stdin', async () => {
  const child = vmsan.start(['exec', '-i', 'web', 'both', '5'], daemon);
  child.stdout?.resume();
  const [code] = await once(child, 'exit');
  assert.equal(code, 5);
});

test("our failures are Docker's: 127 not there, 125 anything of ours", async () => {
  const missing = await vmsan.run(['exec', 'web', 'missing'], daemon);
  assert.equal(missing.stderr, 'vmsan: missing: not\\x1b[31m found\n');
  assert.equal(missing.code, 127);
  const nobody = await vmsan.run(['exec', 'nope', 'show'], daemon);
  assert.equal(nobody.stderr, 'vmsan: there is no VM like that\n');
  assert.equal(nobody.code, 125);
  const broken = await vmsan.run(['exec', 'web', 'nonsense'], daemon);
  assert.equal(broken.code, 125);
});
