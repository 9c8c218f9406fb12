import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Failure } from '../host/failure.ts';
import { identify, waitUntilGone } from '../host/process.ts';
import { causesOf } from './failures.ts';
import { launchDaemon } from './launch.ts';
import { loadSettings, type Settings } from './settings.ts';
import { connectSocket, socketPath } from './socket.ts';

const needsRoot = { skip: process.geteuid?.() !== 0 && 'only root may start the daemon' };

interface Scene {
  settings: Settings;
  /** Starts a daemon that is this program; `listen` and `say` are there. */
  launch(body: string): Promise<void>;
}

function scene(t: TestContext): Scene {
  const home = mkdtempSync(join(tmpdir(), 'vmsan-launch-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const runDir = join(home, 'run');
  const settings = loadSettings({ VMSAN_RUN_DIR: runDir }, '/nonexistent');
  return {
    settings,
    launch(body) {
      const program = join(home, 'daemon.mjs');
      writeFileSync(program, `${PRELUDE}\n${body}\n`);
      return launchDaemon(settings, program);
    },
  };
}

/** `listen` serves one connection and lets the program end. */
const PRELUDE = `
import { createServer } from 'node:net';
import { writeSync, writeFileSync } from 'node:fs';
const say = (line) => writeSync(3, line + '\\n');
const listen = (then) => {
  const server = createServer((socket) => { socket.end(); server.close(); });
  server.listen(process.env.VMSAN_RUN_DIR + '/vmsan.sock', then);
};`;

async function failureOf(launched: Promise<void>): Promise<Failure> {
  try {
    await launched;
  } catch (error) {
    assert.ok(error instanceof Failure);
    return error;
  }
  assert.fail('it was launched');
}

test(
  'a daemon is ready when it says so, and has the settings of its caller',
  needsRoot,
  async (t) => {
    const { settings, launch } = scene(t);
    await launch(`
    writeFileSync(process.env.VMSAN_RUN_DIR + '/env', process.env.VMSAN_SUBNET_POOL + process.cwd());
    listen(() => say('ready'));`);
    assert.equal(readFileSync(join(settings.runDir, 'env'), 'utf8'), '172.16.0.0/16/');
    (await connectSocket(socketPath(settings))).destroy();
  },
);

test('its own words come back as the failure they are', needsRoot, async (t) => {
  const failure = await failureOf(
    scene(t).launch(
      `say('error ' + JSON.stringify({code: 'unavailable', message: 'no nft', hint: 'get it'}));`,
    ),
  );
  assert.deepEqual(
    [failure.code, failure.message, failure.hint],
    ['unavailable', 'no nft', 'get it'],
  );
});

test('an early end is told with the last words of its stderr', needsRoot, async (t) => {
  const failure = await failureOf(
    scene(t).launch(`console.error('cannot find the moon'); process.exitCode = 9;`),
  );
  assert.equal(failure.code, 'unavailable');
  assert.match(failure.message, /ended before it was ready \(exit code 9\)/);
  assert.match(causesOf(failure).join(), /cannot find the moon/);
});

test('a second daemon is no failure when the first one answers', needsRoot, async (t) => {
  await scene(t).launch(`
    say('error ' + JSON.stringify({code: 'conflict', message: 'another daemon starts'}));
    listen();`);
});

test('a second daemon that ends after the launch ends nobody else', needsRoot, async (t) => {
  const { settings, launch } = scene(t);
  await launch(`
    say('error ' + JSON.stringify({code: 'conflict', message: 'another daemon starts'}));
    writeFileSync(process.env.VMSAN_RUN_DIR + '/pid', String(process.pid));
    let callers = 0;
    const server = createServer((socket) => {
      socket.end();
      callers += 1;
      if (callers === 2) server.close();
    });
    server.listen(process.env.VMSAN_RUN_DIR + '/vmsan.sock');`);
  const second = identify(Number(readFileSync(join(settings.runDir, 'pid'), 'utf8')));
  assert.ok(second);
  (await connectSocket(socketPath(settings))).destroy();
  assert.equal(await waitUntilGone(second, { deadlineMs: 10_000 }), true);
  // Its parent hears of the end now, and an error then would be this test's.
  await new Promise(setImmediate);
});

test('without root it is not tried', async (t) => {
  t.mock.method(process as { geteuid(): number }, 'geteuid', () => 1000);
  const failure = await failureOf(scene(t).launch(`say('ready')`));
  assert.equal(failure.code, 'unavailable');
  assert.match(failure.message, /needs root/);
});
