import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { onATerminal, terminalArgv, type OnATerminal } from '../../test/lab/on-a-terminal.ts';
import { fakeDaemon, type FakeDaemon } from './testing/fake-daemon.ts';
import { bundledProgram, type Program, type RunOptions } from './testing/program.ts';

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

const KEYS = ['exec', '-it', 'web', 'keys'];

function started(argv: string[], options: RunOptions): OnATerminal {
  return onATerminal(vmsan.start(argv, { ...options, wrap: terminalArgv }));
}

/** `keys` runs, and every key is its. */
async function typing(options: { runDir: string }) {
  const terminal = started(KEYS, { ...options, env: { TERM: 'screen' } });
  await terminal.shows('31x97 screen\n');
  // The size again, once it runs; then our terminal is made raw.
  await terminal.shows('31x97\n');
  terminal.type('a');
  // Whether it was raw already or not, the key arrives when it is.
  await terminal.shows('"a"');
  return terminal;
}

test('-it: size and TERM are told, keys are bytes, and the terminal is as before', async () => {
  const terminal = await typing(daemon);
  terminal.type('\x03\x04\x1a');
  await terminal.shows('\n"\\u0003\\u0004\\u001a"\n');
  terminal.resize(10, 20);
  await terminal.shows('10x20\n');
  terminal.type('q');
  const { code, restored } = await terminal.ended;
  assert.deepEqual({ code, restored }, { code: 9, restored: true });
});

test('-it: a signal from outside is the guest program’s', async () => {
  const terminal = await typing(daemon);
  terminal.signal(15);
  await terminal.shows('signal 15\n');
  terminal.signal(1);
  await terminal.shows('signal 1\n');
  terminal.type('q');
  assert.equal((await terminal.ended).restored, true);
});

test('-it: the terminal is as before when the guest breaks, when a signal ends us', async () => {
  const broken = await typing(daemon);
  broken.type('x');
  const { code, restored } = await broken.ended;
  assert.deepEqual({ code, restored }, { code: 125, restored: true });
  const quit = await typing(daemon);
  quit.signal(3);
  const end = await quit.ended;
  assert.deepEqual({ code: end.code, restored: end.restored }, { code: -3, restored: true });
});

test('-it: the terminal is as before when the daemon goes away', async () => {
  const mortal = await fakeDaemon({});
  const terminal = await typing(mortal);
  await mortal[Symbol.asyncDispose]();
  const { code, restored, output } = await terminal.ended;
  assert.deepEqual({ code, restored }, { code: 125, restored: true });
  // The message is written on a terminal that turns line feeds again.
  assert.match(output, /vmsan: the daemon .*\r\n/);
});

test('-it: what cannot run leaves the terminal alone', async () => {
  const terminal = started(['exec', '-it', 'web', 'missing'], daemon);
  const { code, restored } = await terminal.ended;
  assert.deepEqual({ code, restored }, { code: 127, restored: true });
});

test('-t needs a terminal only with -i, and -it goes not with --json', async () => {
  const piped = await vmsan.run(['exec', '-it', 'web', 'keys'], daemon);
  assert.match(piped.stderr, /^vmsan: --tty: stdin is not a terminal\nhint: .*-i/);
  assert.equal(piped.code, 125);
  const alone = await vmsan.run(['exec', '-t', 'web', 'both', '4'], daemon);
  assert.equal(alone.code, 4);
  const json = await vmsan.run(['exec', '-it', '--json', 'web', 'both'], daemon);
  assert.equal(json.code, 125);
  assert.match(json.stderr, /--json keeps the output/);
});
