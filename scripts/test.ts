import { parseArgs } from 'node:util';
import { messageOf } from '../src/host/failure.ts';
import { useGo } from './bootstrap/go.ts';
import { runChecks } from './check/run.ts';
import { startHogs } from './test/hogs.ts';
import { belongings, leftSince } from './test/leftovers.ts';
import { filesOf, LEVELS, type Level } from './test/levels.ts';
import { runFiles, runGoTests, type Counts } from './test/run-files.ts';

const USAGE = `npm test [-- [check|unit|kernel|vm]... [PART OF A FILE'S PATH]... [OPTIONS]]
  --repeat N   run them N times
  --hogs N     beside N processes that each keep a core busy
Without a name: the checks, then all three levels. With CI=true a skipped test is a failure.`;

const CHECK = 'check';
const skippedIsFailed = process.env['CI'] === 'true';

interface Row extends Counts {
  name: string;
  seconds: number;
}

interface Request {
  names: Set<string>;
  filters: string[];
  repeat: number;
  hogs: number;
}

function parse(): Request {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { repeat: { type: 'string' }, hogs: { type: 'string' }, help: { type: 'boolean' } },
  });
  if (values.help === true) {
    console.log(USAGE);
    process.exit(0);
  }
  const known = [CHECK, ...LEVELS.map(({ name }) => name)];
  const names = positionals.filter((word) => known.includes(word));
  const filters = positionals.filter((word) => !known.includes(word));
  return {
    // Some files were named: the checks look at the whole tree.
    names: new Set(names.length > 0 ? names : known.slice(filters.length > 0 ? 1 : 0)),
    filters,
    repeat: count(values.repeat, 'repeat', 1),
    hogs: count(values.hogs, 'hogs', 0),
  };
}

function count(text: string | undefined, option: string, byDefault: number): number {
  if (text === undefined) return byDefault;
  if (!/^\d{1,4}$/.test(text)) throw new Error(`--${option}: ${text} is not a number`);
  return Number(text);
}

async function timed(name: string, work: () => Promise<Counts>): Promise<Row> {
  console.log(`\n── ${name}`);
  const start = performance.now();
  const counts = await work();
  return { name, ...counts, seconds: (performance.now() - start) / 1000 };
}

async function runLevel(level: Level, files: string[]): Promise<Counts> {
  if (!level.touchesHost) return runFiles(level, files);
  if (process.getuid?.() !== 0) {
    console.error(`the ${level.name} tests need root`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const before = await belongings();
  const counts = await runFiles(level, files);
  const left = await leftSince(before);
  if (left.length > 0) {
    console.error(
      `✖ the ${level.name} tests left behind:\n${left.map((n) => `    ${n}`).join('\n')}`,
    );
    counts.failed += 1;
  }
  return counts;
}

async function runAll({ names, filters }: Request): Promise<Row[]> {
  const rows: Row[] = [];
  if (names.has(CHECK)) rows.push(await timed(CHECK, runChecks));
  for (const level of LEVELS) {
    if (!names.has(level.name)) continue;
    const files = filesOf(level, filters);
    if (files.length > 0) rows.push(await timed(level.name, () => runLevel(level, files)));
    if (level.name === 'unit' && filters.length === 0) rows.push(await timed('agent', runGoTests));
  }
  return rows;
}

/** Prints the table and the closing line. @returns whether all is well */
function summarize(rows: Row[]): boolean {
  console.log('');
  for (const { name, passed, failed, skipped, seconds } of rows) {
    const numbers = `${passed} passed, ${failed} failed, ${skipped} skipped`;
    console.log(`${name.padEnd(8)}${numbers.padEnd(40)}${seconds.toFixed(1).padStart(7)} s`);
  }
  const sum = (key: 'passed' | 'failed' | 'skipped' | 'seconds') =>
    rows.reduce((total, row) => total + row[key], 0);
  console.log(`${'in all'.padEnd(48)}${sum('seconds').toFixed(1).padStart(7)} s\n`);
  if (sum('passed') === 0) console.log('no test was run');
  if (skippedIsFailed && sum('skipped') > 0) console.log('in CI a skipped test is a failure');
  console.log(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`);
  return sum('passed') > 0 && sum('failed') === 0 && !(skippedIsFailed && sum('skipped') > 0);
}

async function main(): Promise<number> {
  let request: Request;
  try {
    request = parse();
  } catch (error) {
    console.error(`${messageOf(error)}\n${USAGE}`);
    return 2;
  }
  useGo();
  const stopHogs = startHogs(request.hogs);
  process.once('exit', stopHogs);
  let good = true;
  for (let round = 1; round <= request.repeat; round += 1) {
    if (request.repeat > 1) console.log(`\n══ round ${round} of ${request.repeat}`);
    good = summarize(await runAll(request)) && good;
  }
  return good ? 0 : 1;
}

process.exitCode = await main();
// Nothing that a failed test left open keeps us.
process.exit();
