import { rawTerminal, terminalSize } from '../host/terminal.ts';

/** ECMA-48 and xterm: the other screen without a cursor, and back; home, and what is below it gone. */
const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H\x1b[J';

const CTRL_C = '\x03';

/** A screen that is drawn again and again until the user presses q or Ctrl-C. */
export interface Screen extends Disposable {
  /** Aborted when the user has enough. */
  ended: AbortSignal;
  draw(text: string): void;
}

/** The terminal is as it was when the screen is disposed of, or the process ends by a signal. */
export function watchScreen(): Screen {
  const ended = new AbortController();
  const end = (): void => ended.abort();
  const leave = (): void => void process.stdout.write(LEAVE);
  const keys = (chunk: Buffer): void => {
    if (/[qQ]/.test(chunk.toString('latin1')) || chunk.includes(CTRL_C)) end();
  };
  const restore = process.stdin.isTTY ? rawTerminal() : undefined;
  if (restore !== undefined) process.stdin.on('data', keys);
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, end);
  process.once('exit', leave);
  process.stdout.write(ENTER);
  return {
    ended: ended.signal,
    draw(text) {
      const { rows, columns } = terminalSize();
      const lines = text.split('\n').slice(0, rows);
      process.stdout.write(HOME + lines.map((line) => line.slice(0, columns)).join('\r\n'));
    },
    [Symbol.dispose]() {
      process.stdin.off('data', keys).pause();
      process.off('exit', leave);
      leave();
      restore?.();
    },
  };
}
