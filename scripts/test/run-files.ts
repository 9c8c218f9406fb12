import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { inTree } from '../tree.ts';
import type { Level } from './levels.ts';

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Runs test files, each in a process of its own, and prints what they say as they go. */
export async function runFiles(level: Level, files: readonly string[]): Promise<Counts> {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  const stream = run({
    files: files.map(inTree),
    cwd: inTree('.'),
    concurrency: level.concurrency,
    timeout: level.timeoutMs,
  });
  stream.on('test:pass', ({ name, file, skip, todo, details }) => {
    if (details.type === 'suite') return;
    if (name === file) {
      // A file without tests is a test that passes, for node:test.
      console.error(`${name}: ran no test`);
      counts.failed += 1;
    } else if (skip !== undefined || todo !== undefined) counts.skipped += 1;
    else counts.passed += 1;
  });
  stream.on('test:fail', ({ todo, details }) => {
    if (details.type === 'suite') return;
    if (todo !== undefined) counts.skipped += 1;
    else counts.failed += 1;
  });
  await pipeline(stream, new spec(), process.stdout, { end: false });
  return counts;
}

interface GoEvent {
  Action: string;
  Package?: string;
  Test?: string;
  Output?: string;
}

/** Runs the agent's Go tests; prints their output when one fails. */
export async function runGoTests(): Promise<Counts> {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  const child = spawn('go', ['test', '-json', './...'], {
    cwd: inTree('agent'),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject).on('close', resolve);
  });
  let output = '';
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith('{')) {
      output += `${line}\n`;
      continue;
    }
    const event = JSON.parse(line) as GoEvent;
    output += event.Output ?? '';
    if (event.Test === undefined) continue;
    if (event.Action === 'pass') counts.passed += 1;
    else if (event.Action === 'fail') counts.failed += 1;
    else if (event.Action === 'skip') counts.skipped += 1;
  }
  const exitCode = await ended;
  if (exitCode !== 0 && counts.failed === 0) counts.failed = 1;
  if (counts.failed > 0) console.log(output);
  else console.log(`✔ go test ./... (${counts.passed} tests)`);
  return counts;
}
