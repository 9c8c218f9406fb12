import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { callsOver } from '../src/api/calls.ts';
import type { Daemon } from '../src/api/client.ts';
import { loadSettings } from '../src/api/settings.ts';
import { connectSocket, socketPath } from '../src/api/socket.ts';
import { TREE } from '../test/lab/paths.ts';

export interface Run {
  stdout: string;
  /** Milliseconds from its start to the first byte of stdout; to the end when there was none. */
  firstMs: number;
  /** Milliseconds from its start to its end. */
  endMs: number;
}

/** Runs a command as a user does, by `bin/vmsan`. @throws Error when it fails */
export async function vmsan(...args: string[]): Promise<Run> {
  const start = performance.now();
  const child = spawn(`${TREE}/bin/vmsan`, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let first: number | undefined;
  child.stdout.once('data', () => (first = performance.now()));
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  const end = performance.now();
  if (code !== 0) throw new Error(`vmsan ${args.join(' ')} exited with ${code}: ${stderr.trim()}`);
  return { stdout, firstMs: (first ?? end) - start, endMs: end - start };
}

/** The daemon's API as curl sees it: without the headers that say which build calls. */
export function api(): Daemon {
  const path = socketPath(loadSettings());
  const dial = () => connectSocket(path);
  return { dial, headers: {}, ...callsOver(dial, {}) };
}
