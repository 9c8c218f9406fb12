import { run, CommandFailed } from '../../src/host/run.ts';
import { staleFiles } from '../build/generate.ts';
import { follow } from '../bootstrap/follow.ts';
import { inTree } from '../tree.ts';
import { wrongImports } from './imports.ts';
import {
  holesInLockFiles,
  longFiles,
  missingLicence,
  packageHosts,
  sleepsInTests,
} from './text.ts';

interface Check {
  name: string;
  /** What is wrong, a line or more each; nothing when all is well. */
  problems(): Promise<string[]> | string[];
}

const CHECKS: readonly Check[] = [
  tool('types (tsc)', ['tsc', '-p', '.']),
  tool('lint (oxlint)', ['oxlint', '--type-aware', '--deny-warnings']),
  tool('format (prettier)', [
    'prettier',
    '--check',
    '--cache',
    '--cache-strategy',
    'content',
    '--log-level',
    'warn',
    '.',
  ]),
  { name: 'format (gofmt)', problems: unformattedGo },
  { name: 'go vet', problems: () => attempt(['go', 'vet', './...'], 'agent') },
  { name: 'generated code is current', problems: staleCode },
  { name: 'imports go one way', problems: wrongImports },
  { name: 'no file over 400 lines', problems: longFiles },
  { name: 'no sleeps in tests', problems: sleepsInTests },
  { name: 'no package hosts named', problems: packageHosts },
  { name: 'lock files are whole', problems: holesInLockFiles },
  { name: 'licence', problems: missingLicence },
];
/** The tools of the first checks use more than one core each. */
const AT_ONCE = 2;

/** Runs all checks, prints a line for each and the whole story of one that fails. */
export async function runChecks(): Promise<{ passed: number; failed: number; skipped: number }> {
  const waiting = [...CHECKS];
  let failed = 0;
  const work = async () => {
    for (let check = waiting.shift(); check !== undefined; check = waiting.shift()) {
      const start = performance.now();
      const problems = await check.problems();
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      console.log(`${problems.length === 0 ? '✔' : '✖'} ${check.name} (${seconds} s)`);
      if (problems.length === 0) continue;
      failed += 1;
      console.log(problems.join('\n').replaceAll(/^/gm, '    '));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return { passed: CHECKS.length - failed, failed, skipped: 0 };
}

/** A tool of node_modules, under our Node. */
function tool(name: string, [program, ...args]: [string, ...string[]]): Check {
  const path = inTree(`node_modules/.bin/${program}`);
  return { name, problems: () => attempt([process.execPath, path, ...args], '.') };
}

async function attempt(argv: [string, ...string[]], folder: string): Promise<string[]> {
  const lines: string[] = [];
  try {
    await follow(argv, (line) => lines.push(line), { cwd: inTree(folder) });
    return [];
  } catch (error) {
    if (error instanceof CommandFailed) return lines.length > 0 ? lines : [error.message];
    throw error;
  }
}

async function unformattedGo(): Promise<string[]> {
  const { stdout } = await run(['gofmt', '-l', inTree('agent')]);
  return stdout.split('\n').filter((line) => line !== '');
}

async function staleCode(): Promise<string[]> {
  const stale = await staleFiles();
  return stale.map((path) => `${path} is not what proto/ says: npm run generate`);
}
