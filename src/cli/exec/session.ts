import { constants } from 'node:os';
import type { ExecCall } from '../../api/agent.ts';
import type { ExecRequestMessage, Started } from '../../api/exec-wire.ts';
import { DaemonGone } from '../../api/http.ts';
import { Failure } from '../../host/failure.ts';
import { rawTerminal, terminalSize, type TerminalSize } from '../../host/terminal.ts';
import { printable, remark } from '../print/text.ts';
import type { Output } from './output.ts';
import { Place, type Attachment } from './place.ts';

/** What to run in a guest. */
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

/** A process in a guest, to be started or found again. */
export type Opening =
  { case: 'start'; value: GuestCommand } | { case: 'attach'; value: Attachment };

/**
 * Starts a process by argv, or attaches to one, and returns how it ended. SIGINT,
 * SIGTERM and SIGHUP go to it while it runs; when this program ends, it is killed.
 * When the daemon ends, it goes on.
 * @param vm as the user names it
 * @throws what the call throws; a process that was never started is no error
 *   but exit code 125, 126 or 127, with the reason on stderr
 */
export async function runInGuest(
  call: ExecCall,
  vm: string,
  opening: Opening,
  output: Output,
): Promise<End> {
  const { stdin } = opening.value;
  const tty = Boolean(opening.value.tty);
  void call.send(requestOf(opening));
  const signals = forwardSignals(call);
  const terminal = tty ? followTerminal(call, stdin) : undefined;
  const place = new Place(vm, opening);
  let end: End | undefined;
  let over = false;
  try {
    for await (const message of call.responses()) {
      switch (message.case) {
        case 'started':
          place.started(message.value);
          signals.started();
          terminal?.started();
          if (opening.case === 'attach') welcome(call, opening.value, message.value);
          if (stdin) void forwardStdin(call, () => over);
          break;
        case 'stdout':
        case 'stderr':
          await output[message.case](message.value);
          if (output.passesOn) place.passed(message.value.length);
          break;
        case 'exited': {
          const { code, signal } = message.value;
          end = { exitCode: code, signal: signal === 0 ? null : signal };
          over = true;
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
  } catch (error) {
    // How it ended is known, whatever became of the daemon since.
    if (end === undefined) throw error instanceof DaemonGone ? place.failure() : error;
  } finally {
    over = true;
    terminal?.stop();
    signals.stop();
    call.end();
    if (stdin) process.stdin.destroy();
  }
  if (end === undefined) throw new Failure('unavailable', 'the guest never said how it ended');
  return end;
}

function requestOf(opening: Opening): ExecRequestMessage {
  if (opening.case === 'start') return opening;
  const { received, ...rest } = opening.value;
  return { case: 'attach', value: { ...rest, received: BigInt(received) } };
}

/** What one who comes back should know, and a program that is to draw its screen again. */
function welcome(call: ExecCall, { stdin, tty }: Attachment, { lost, stdinGiven }: Started): void {
  if (lost > 0) remark(`vmsan: ${lost} bytes of output are missing here: 1 MiB is kept`);
  if (tty) void call.send({ case: 'signal', value: constants.signals.SIGWINCH });
  else if (stdin && stdinGiven > 0) {
    remark(`vmsan: the command was given ${stdinGiven} bytes of stdin before; yours follow them`);
  }
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
