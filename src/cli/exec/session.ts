import { constants } from 'node:os';
import type { ExecCall } from '../../api/agent.ts';
import { Failure } from '../../host/failure.ts';
import { rawTerminal, terminalSize, type TerminalSize } from '../../host/terminal.ts';
import { printable, remark } from '../print/text.ts';

/** A process in a guest, attached to this one: streams, signals, exit code. */
export interface GuestCommand {
  argv: string[];
  /** KEY=VALUE */
  env: string[];
  /** Empty: the user's home. */
  cwd: string;
  /** Empty: root. */
  user: string;
  /** Whether our stdin is passed on. */
  stdin: boolean;
  /** A terminal of its own in the guest. */
  tty?: { size: TerminalSize; term: string };
}

export interface End {
  exitCode: number;
  /** The signal that ended it, as a number; null when it exited by itself. */
  signal: number | null;
}

/** Where the guest's output goes. A write resolves when the next may follow. */
export interface Output {
  stdout(chunk: Uint8Array): Promise<void>;
  stderr(chunk: Uint8Array): Promise<void>;
  /** What was kept rather than passed on. */
  text(): { stdout: string; stderr: string };
}

/**
 * Runs a process by argv and returns how it ended. SIGINT, SIGTERM and SIGHUP
 * go to it while it runs; when this program ends, it is killed.
 * @throws what the call throws; a process that was never started is no error
 *   but exit code 125, 126 or 127, with the reason on stderr
 */
export async function runInGuest(
  call: ExecCall,
  command: GuestCommand,
  output: Output,
): Promise<End> {
  void call.send({ case: 'start', value: command });
  const signals = forwardSignals(call);
  const terminal = command.tty === undefined ? undefined : followTerminal(call, command.stdin);
  let end: End | undefined;
  try {
    for await (const message of call.responses()) {
      switch (message.case) {
        case 'started':
          signals.started();
          terminal?.started();
          if (command.stdin) void forwardStdin(call, () => end !== undefined);
          break;
        case 'stdout':
          await output.stdout(message.value);
          break;
        case 'stderr':
          await output.stderr(message.value);
          break;
        case 'exited': {
          const { code, signal } = message.value;
          end = { exitCode: code, signal: signal === 0 ? null : signal };
          call.end();
          break;
        }
        case 'failed':
          end = { exitCode: message.value.code, signal: null };
          terminal?.stop();
          remark(`vmsan: ${printable(message.value.message)}`);
          call.end();
          break;
        case undefined:
          break;
      }
    }
  } finally {
    terminal?.stop();
    signals.stop();
    call.end();
    if (command.stdin) process.stdin.destroy();
  }
  if (end === undefined) throw new Failure('unavailable', 'the guest never said how it ended');
  return end;
}

/** Before the process runs a signal ends us; then it is the process's. */
function forwardSignals(call: ExecCall): { started(): void; stop(): void } {
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  let running = false;
  const handlers = names.map((name) => {
    const signal = constants.signals[name];
    const handler = (): void => {
      if (!running) process.exit(128 + signal);
      void call.send({ case: 'signal', value: signal });
    };
    process.on(name, handler);
    return { name, handler };
  });
  return {
    started: () => {
      running = true;
    },
    stop: () => {
      for (const { name, handler } of handlers) process.off(name, handler);
    },
  };
}

/**
 * Our terminal stands for the guest's: its size is passed on, and with stdin
 * its keys are, from when the process runs until it has ended.
 */
function followTerminal(call: ExecCall, stdin: boolean): { started(): void; stop(): void } {
  let restore: (() => void) | undefined;
  const resized = (): void => void call.send({ case: 'resize', value: terminalSize() });
  return {
    started() {
      process.on('SIGWINCH', resized);
      // It may have changed since it was asked for.
      resized();
      if (stdin) restore = rawTerminal();
    },
    stop() {
      process.off('SIGWINCH', resized);
      restore?.();
      restore = undefined;
    },
  };
}

/** Chunk by chunk, each when the one before is on its way; then end of file. */
async function forwardStdin(call: ExecCall, ended: () => boolean): Promise<void> {
  try {
    for await (const chunk of process.stdin) {
      if (ended()) return;
      await call.send({ case: 'stdin', value: chunk as Buffer });
    }
  } catch (error) {
    if (ended()) return;
    remark(`vmsan: stdin cannot be read: ${printable(String(error))}`);
  }
  if (!ended()) await call.send({ case: 'stdinEnd', value: {} });
}

/** Passes output through to our own stdout and stderr, no faster than they are read. */
export function streamed(): Output {
  return {
    stdout: (chunk) => write(process.stdout, chunk),
    stderr: (chunk) => write(process.stderr, chunk),
    text: () => ({ stdout: '', stderr: '' }),
  };
}

function write(stream: NodeJS.WriteStream, chunk: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    if (stream.write(chunk)) resolve();
    else stream.once('drain', resolve);
  });
}

/** Keeps output as text, up to 16 MiB of each stream. */
export function collected(): Output {
  const kept = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  const keep = (stream: 'stdout' | 'stderr') => {
    let bytes = 0;
    return async (chunk: Uint8Array): Promise<void> => {
      bytes += chunk.length;
      if (bytes > COLLECTED_BYTES) {
        throw new Failure('exhausted', `${stream} is more than --json keeps (16 MiB)`, {
          hint: 'leave --json out: output is then passed through',
        });
      }
      kept[stream].push(chunk);
    };
  };
  return {
    stdout: keep('stdout'),
    stderr: keep('stderr'),
    text: () => ({
      stdout: Buffer.concat(kept.stdout).toString(),
      stderr: Buffer.concat(kept.stderr).toString(),
    }),
  };
}

const COLLECTED_BYTES = 16 * 1024 * 1024;
