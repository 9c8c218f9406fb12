import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface OnATerminal {
  /** Resolves when the program's output since the last call holds `text`; returns it up to there. */
  shows(text: string | RegExp): Promise<string>;
  /** Presses keys. */
  type(keys: string): void;
  resize(rows: number, columns: number): void;
  signal(number: number): void;
  /** A signal is a negative code. `restored`: the terminal's settings are as before the program. */
  ended: Promise<{ code: number; restored: boolean; output: string }>;
}

const SCRIPT = fileURLToPath(new URL('./on-a-terminal.py', import.meta.url));
const PATIENCE_MS = 60_000;

/** The argv that runs `argv` on a terminal of 31 rows and 97 columns; for `onATerminal`. */
export function terminalArgv(argv: readonly string[]): string[] {
  return ['python3', SCRIPT, '31', '97', ...argv];
}

/** @param child started from `terminalArgv` with pipes */
export function onATerminal(child: ChildProcess): OnATerminal {
  let output = '';
  let seen = 0;
  let report = '';
  let look = (): void => {};
  child.stdout!.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    look();
  });
  child.stderr!.on('data', (chunk: Buffer) => (report += chunk.toString()));
  child.stdin!.on('error', () => {});
  const order = (one: object): void => void child.stdin!.write(`${JSON.stringify(one)}\n`);
  const ended = new Promise<{ code: number; restored: boolean; output: string }>(
    (resolve, reject) =>
      child.on('close', () => {
        try {
          resolve({ ...JSON.parse(report.trimEnd().split('\n').at(-1)!), output });
        } catch {
          reject(new Error(`no report of its end: ${report}`));
        }
      }),
  );
  ended.catch(() => {});
  return {
    ended,
    type: (keys) => order({ type: keys }),
    resize: (rows, columns) => order({ size: [rows, columns] }),
    signal: (number) => order({ signal: number }),
    async shows(text) {
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      const fail = (why: string): void =>
        reject(new Error(`${String(text)} ${why}: ${JSON.stringify(output.slice(seen))}`));
      const timer = setTimeout(() => fail('was not shown'), PATIENCE_MS);
      look = () => {
        const rest = output.slice(seen);
        const found = typeof text === 'string' ? rest.indexOf(text) : rest.search(text);
        if (found === -1) return;
        const length = typeof text === 'string' ? text.length : text.exec(rest)![0].length;
        seen += found + length;
        resolve(rest.slice(0, found + length));
      };
      ended.then(
        () => fail('never came'),
        () => fail('never came'),
      );
      look();
      return promise.finally(() => clearTimeout(timer));
    },
  };
}
