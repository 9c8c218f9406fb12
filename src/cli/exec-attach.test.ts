import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { text } from 'node:stream/consumers';
import { onATerminal, terminalArgv } from '../../test/lab/on-a-terminal.ts';
import { until } from '../../test/lab/until.ts';
import { fakeDaemon, type FakeDaemon } from './testing/fake-daemon.ts';
import { bundledProgram, type Ended, type Program } from './testing/program.ts';

let vmsan: Program;
let daemon: FakeDaemon;
before(async () => {
  vmsan = await bundledProgram();
  daemon = await fakeDaemon({
    listVmExecs: ({ vm }) => ({
      execs: [
        { id: '3f9a02c1', pid: 7, argv: ['sh', '-c', `in ${vm}\x1b[31m`], tty: true },
        { id: '0badcafe', pid: 8, argv: ['true'], attached: true, exited: { code: 4 } },
      ],
    }),
  });
});
after(async () => {
  await daemon[Symbol.asyncDispose]();
  await vmsan[Symbol.asyncDispose]();
});

/** Runs `exec …` until it has shown `shown`, and then its daemon goes away. */
async function left(words: string[], shown = 'three\n'): Promise<Ended> {
  const mortal = await fakeDaemon({});
  const child = vmsan.start(['exec', ...words], mortal);
  const closed = once(child, 'close');
  let [stdout, stderr] = ['', ''];
  const { promise, resolve } = Promise.withResolvers<void>();
  child.stderr!.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdout!.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    if (stdout.endsWith(shown)) resolve();
  });
  await promise;
  await mortal[Symbol.asyncDispose]();
  const [code] = (await closed) as [number | null];
  return { code, stdout, stderr };
}

test('when the daemon goes away one line says how to go on, after what was shown', async () => {
  const { code, stdout, stderr } = await left(['web', 'count']);
  assert.equal(stdout, 'one\nthree\n');
  assert.equal(
    stderr,
    'two\nvmsan: the daemon went away; the command goes on: vmsan exec --attach web 3f9a02c1@14\n',
  );
  assert.equal(code, 125);
});

test('with -i the line says so, and again when it was attached', async () => {
  const once = await left(['-i', 'web', 'count']);
  assert.match(once.stderr, /: vmsan exec --attach -i web 3f9a02c1@14\n$/);
  const again = await left(['--attach', '-i', 'web', '3f9a02c1@14'], 'QRST');
  assert.match(again.stderr, /: vmsan exec --attach -i web 3f9a02c1@20\n$/);
  assert.equal(again.code, 125);
});

test('an end that was told counts, though the daemon goes away before all is said', async () => {
  const { code, stderr } = await left(['web', 'told']);
  assert.deepEqual({ code, stderr }, { code: 5, stderr: '' });
});

test('a daemon that goes away before it is known whether the command runs: so the line says', async () => {
  const mortal = await fakeDaemon({});
  const child = vmsan.start(['exec', 'web', 'mute'], mortal);
  const said = text(child.stderr!);
  const closed = once(child, 'close');
  await until('it has asked', () => mortal.calls.some(({ method }) => method === 'Exec'));
  await mortal[Symbol.asyncDispose]();
  assert.equal(
    await said,
    'vmsan: the daemon went away; whether the command runs: vmsan exec --list web\n',
  );
  assert.equal((await closed)[0], 125);
});

test('an agent that cannot be attached to ends the command: no promise', async () => {
  const { code, stderr } = await left(['web', 'old']);
  assert.match(
    stderr,
    /vmsan: the daemon went away, and the command in the guest ended with it\n$/,
  );
  assert.equal(code, 125);
});

test('--attach shows what follows, and ends as the command does', async () => {
  const { code, stdout, stderr } = await vmsan.run(
    ['exec', '--attach', 'web', '3f9a02c1@14'],
    daemon,
  );
  assert.deepEqual({ code, stdout, stderr }, { code: 6, stdout: 'OPQRST', stderr: '' });
});

test('--attach without an id, and without the number: all there is; what is missing is said', async () => {
  for (const words of [['web'], ['web', '3f9a02c1']]) {
    const { code, stdout, stderr } = await vmsan.run(['exec', '--attach', ...words], daemon);
    assert.equal(stdout, 'FGHIJKLMNOPQRST');
    assert.equal(stderr, 'vmsan: 5 bytes of output are missing here: 1 MiB is kept\n');
    assert.equal(code, 6);
  }
});

test('--attach -i goes on with stdin, and says how much was given before', async () => {
  const stdin = 'more';
  const ended = await vmsan.run(['exec', '--attach', '-i', 'web', '3f9a02c1@20'], {
    ...daemon,
    stdin,
  });
  assert.equal(ended.stdout, 'more');
  assert.match(ended.stderr, /^vmsan: the command was given 9 bytes of stdin before; .*\n$/);
});

test('--attach -it: a terminal again, and a program is told to draw its screen', async () => {
  const argv = ['exec', '--attach', '-it', 'web', '3f9a02c1@14'];
  const terminal = onATerminal(vmsan.start(argv, { ...daemon, wrap: terminalArgv }));
  await terminal.shows('OPQRSTresize signal ');
  terminal.type('a');
  const { code, restored } = await terminal.ended;
  assert.deepEqual({ code, restored }, { code: 6, restored: true });
});

test('--attach --json gives all in one object', async () => {
  const { code, stdout } = await vmsan.run(['exec', '--attach', '--json', 'web'], daemon);
  assert.deepEqual(JSON.parse(stdout), {
    exitCode: 6,
    signal: null,
    stdout: 'FGHIJKLMNOPQRST',
    stderr: '',
  });
  assert.equal(code, 6);
});

test('an id that is unknown is 3 in one line; one that is none, and flags without meaning, are told', async () => {
  const unknown = await vmsan.run(['exec', '--attach', 'web', '0123'], daemon);
  assert.deepEqual(
    { code: unknown.code, stderr: unknown.stderr },
    { code: 3, stderr: 'vmsan: no command 0123 runs\n' },
  );
  for (const [words, message] of [
    [['--attach', 'web', 'ls'], '"ls" is not the id of a command, such as 3f9a02c1@18123'],
    [['--attach', 'web', '3f9a02c1@-1'], '"3f9a02c1@-1" is not the id'],
    [['--attach', 'web', '3f9a02c1', 'ls'], '"ls" has no meaning with --attach'],
    [['--attach', '-u', 'root', 'web'], '--user has no meaning with --attach'],
    [['--list', 'web', 'ls'], '"ls" has no meaning with --list'],
    [['--list', '-i', 'web'], '--interactive has no meaning with --list'],
    [['web'], 'no command to run was given'],
  ] as const) {
    const { code, stderr } = await vmsan.run(['exec', ...words], daemon);
    assert.ok(stderr.startsWith(`vmsan: ${message}`), stderr);
    assert.equal(code, words[0] === '--list' ? 2 : 125);
  }
});

test('--list shows what runs and what was left, safely', async () => {
  const { code, stdout } = await vmsan.run(['exec', '--list', 'web'], daemon);
  assert.deepEqual(stdout.split('\n'), [
    'ID         PID   STATE              COMMAND',
    '3f9a02c1   7     runs, left alone   sh -c in web\\x1b[31m',
    '0badcafe   8     ended with 4       true',
    '',
  ]);
  assert.equal(code, 0);
  const json = await vmsan.run(['exec', '--list', '--json', 'web'], daemon);
  const [first] = JSON.parse(json.stdout) as unknown[];
  assert.deepEqual(first, {
    id: '3f9a02c1',
    pid: 7,
    argv: ['sh', '-c', 'in web\x1b[31m'],
    stdin: false,
    tty: true,
    attached: false,
    exitCode: null,
  });
});
