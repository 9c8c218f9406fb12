import { spawnSync } from 'node:child_process';

export interface TerminalSize {
  /** In characters. */
  rows: number;
  columns: number;
}

/** Where none of our streams is a terminal. */
const NO_SIZE: TerminalSize = { rows: 24, columns: 80 };

/** The size of the terminal that our output is on, now. */
export function terminalSize(): TerminalSize {
  const stream = [process.stdout, process.stderr].find(({ isTTY }) => isTTY);
  const [columns, rows] = stream?.getWindowSize() ?? [];
  return columns ? { columns, rows: rows ?? 0 } : NO_SIZE;
}

/** Signals whose default would end us without Node putting the terminal back. */
const FATAL = ['SIGQUIT', 'SIGALRM', 'SIGUSR2', 'SIGXCPU'] as const;

/**
 * Makes the terminal on stdin raw: every key is a byte to read, nothing is
 * echoed, and output passes as it is. It is as before when the returned
 * function has been called, and whichever way this process ends (but SIGKILL).
 */
export function rawTerminal(): () => void {
  // Node's setRawMode goes on turning a line feed into two characters.
  const before = stty('-g').trim();
  const raw = (): void => void stty('raw', '-echo', '-iexten');
  const restore = (): void => {
    process.off('exit', restore).off('SIGCONT', raw);
    for (const name of FATAL) process.off(name, die);
    stty(before);
  };
  const die = (name: NodeJS.Signals): void => {
    restore();
    process.kill(process.pid, name);
  };
  process.on('exit', restore);
  // The shell has had the terminal since we were stopped.
  process.on('SIGCONT', raw);
  for (const name of FATAL) process.on(name, die);
  raw();
  return restore;
}

/** A terminal that is gone has nothing to set. */
function stty(...words: string[]): string {
  return spawnSync('stty', words, { stdio: ['inherit', 'pipe', 'ignore'], encoding: 'utf8' })
    .stdout;
}
