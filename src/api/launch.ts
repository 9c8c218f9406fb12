import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Failure, isErrno, messageOf } from '../host/failure.ts';
import { daemonProgram } from './build.ts';
import { settingsEnv, type Settings } from './settings.ts';
import { connectSocket, socketPath } from './socket.ts';

/**
 * Starting vmsand from a command. It inherits the caller's network namespace
 * and settings, and reports on fd 3 with one line:
 *
 *     ready                          its socket answers
 *     error {"code":…,"message":…,"hint":…}   a Failure; it ends
 *
 * A second daemon for the same run directory reports `conflict`: the first one
 * is waited for.
 */
const DEADLINE_MS = 20_000;
/** What a failure quotes of the end of the daemon's log. */
const TAIL_BYTES = 2048;
/** The log of earlier daemons is let go when it is larger. */
const LOG_MAX_BYTES = 16 * 1024 * 1024;

/**
 * Starts the daemon and returns when its socket answers.
 * @throws Failure with the daemon's own words
 */
export async function launchDaemon(
  settings: Settings,
  program: string = fileURLToPath(daemonProgram()),
): Promise<void> {
  if (process.geteuid?.() !== 0) {
    throw new Failure('unavailable', 'vmsan needs root to start its daemon', {
      hint: 'run this once with sudo, or: sudo vmsan daemon start',
    });
  }
  const deadline = Date.now() + DEADLINE_MS;
  const log = openLog(settings);
  try {
    const start = fstatSync(log).size;
    const child = spawnDaemon(settings, program, log);
    try {
      await readyLine(child, () => tailOf(log, start));
    } catch (error) {
      const other = error instanceof Failure && error.code === 'conflict';
      if (!(other && (await answers(socketPath(settings), deadline)))) throw error;
    } finally {
      child.stdio[3]?.destroy();
      child.unref();
    }
  } finally {
    closeSync(log);
  }
}

/** `vmsand.log`, to which the daemon's stderr goes, so that it outlives this command. */
function openLog(settings: Settings): number {
  const file = join(settings.runDir, 'vmsand.log');
  try {
    mkdirSync(settings.runDir, { recursive: true, mode: 0o755 });
    const log = openSync(file, 'a+', 0o600);
    if (fstatSync(log).size > LOG_MAX_BYTES) ftruncateSync(log);
    return log;
  } catch (cause) {
    throw new Failure('unavailable', `${file} cannot be written`, {
      hint: 'VMSAN_RUN_DIR says where sockets and logs go',
      cause,
    });
  }
}

function spawnDaemon(settings: Settings, program: string, log: number): ChildProcess {
  const inherited = Object.entries(process.env).filter(
    ([name]) => name.startsWith('VMSAN_') || ['HOME', 'LANG', 'TMPDIR'].includes(name),
  );
  return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program], {
    cwd: '/',
    detached: true,
    env: {
      ...Object.fromEntries(inherited),
      ...settingsEnv(settings),
      // A user's PATH often lacks the directories of ip and nft.
      PATH: `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/local/sbin:/usr/sbin:/sbin`,
    },
    stdio: ['ignore', 'ignore', log, 'pipe'],
  });
}

/** Resolves at `ready`; rejects at `error`, at the daemon's end, or at the deadline. */
async function readyLine(child: ChildProcess, tail: () => string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (code: 'unavailable' | 'timeout', what: string): void =>
    reject(
      new Failure(code, what, {
        hint: 'vmsan doctor',
        ...(tail() === '' ? {} : { cause: new Error(tail()) }),
      }),
    );
  const timer = setTimeout(() => {
    child.kill('SIGKILL');
    fail('timeout', `the daemon was not ready within ${DEADLINE_MS / 1000} s`);
  }, DEADLINE_MS);
  const failed = (error: Error): void =>
    fail('unavailable', `the daemon cannot be run: ${error.message}`);
  child.on('error', failed);
  const lines = createInterface({ input: child.stdio[3] as Readable });
  lines.on('line', (line) => {
    if (line === 'ready') resolve();
    else if (line.startsWith('error ')) reject(saidError(line.slice('error '.length)));
  });
  // `close` comes after the last line was read, `exit` may come before it.
  const closed = (code: number | null, signal: string | null): void =>
    fail('unavailable', `the daemon ended before it was ready (${signal ?? `exit code ${code}`})`);
  child.on('close', closed);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    lines.close();
    // One that lost to another daemon ends later, when its log is ours no more.
    child
      .off('close', closed)
      .off('error', failed)
      .on('error', () => {});
  }
}

function saidError(json: string): Failure {
  try {
    const { code, message, hint } = JSON.parse(json) as Pick<Failure, 'code' | 'message' | 'hint'>;
    return new Failure(code, message, hint === undefined ? {} : { hint });
  } catch (cause) {
    return new Failure('internal', `the daemon said: ${json}`, { cause });
  }
}

/** Whether the socket of a daemon that is just starting answers before the deadline. */
async function answers(socket: string, deadline: number): Promise<boolean> {
  while (Date.now() < deadline) {
    try {
      (await connectSocket(socket)).destroy();
      return true;
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'ECONNREFUSED'))
        throw new Failure('internal', messageOf(error));
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}

function tailOf(fd: number, start: number): string {
  const size = fstatSync(fd).size;
  const from = Math.max(start, size - TAIL_BYTES);
  const bytes = Buffer.alloc(Math.max(0, size - from));
  readSync(fd, bytes, 0, bytes.length, from);
  return bytes.toString().trim();
}
