import { readFileSync } from 'node:fs';
import { Failure, isErrno } from '../../src/host/failure.ts';
import { CommandFailed, run } from '../../src/host/run.ts';
import { inTree } from '../tree.ts';
import { follow } from './follow.ts';
import { findGo } from './go.ts';
import { withoutServices } from './no-services.ts';
import type { Report, Step } from './step.ts';

interface DebianPackage {
  name: string;
  for: string;
}

/** The Debian packages of debian-packages.json, and Debian's Go where there is none at all. */
export const debianPackages: Step = {
  title: 'Debian packages',
  missing: async () => {
    const missing = await missingPackages();
    return missing.length === 0 ? undefined : `${missing.length} of them`;
  },
  bring: install,
};

/**
 * The guest is made of this machine's Debian packages, so only Debian will do.
 * @throws Failure `unavailable`
 */
export function requireDebian(osRelease = '/etc/os-release'): void {
  let text = '';
  try {
    text = readFileSync(osRelease, 'utf8');
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
  const field = (name: string) => new RegExp(`^${name}="?([^"\n]*)"?$`, 'm').exec(text)?.[1];
  // Testing has no VERSION_ID: see os-release(5).
  if (field('ID') === 'debian' && Number(field('VERSION_ID') ?? Infinity) >= 12) return;
  const found = field('PRETTY_NAME') ?? 'another system';
  throw new Failure('unavailable', `this is ${found}; vmsan needs Debian 12 or later`);
}

async function missingPackages(): Promise<DebianPackage[]> {
  const text = readFileSync(inTree('scripts/bootstrap/debian-packages.json'), 'utf8');
  const wanted = JSON.parse(text) as DebianPackage[];
  if ((await findGo()) === undefined) {
    wanted.push({ name: 'golang-go', for: 'builds the agent, or brings the Go that does' });
  }
  const installed = await installedPackages();
  return wanted.filter(({ name }) => !installed.has(name));
}

async function installedPackages(): Promise<Set<string>> {
  const format = '-f=${Package} ${db:Status-Status}\\n';
  const { stdout } = await run(['dpkg-query', '-W', format]);
  const lines = stdout.split('\n').filter((line) => line.endsWith(' installed'));
  return new Set(lines.map((line) => line.slice(0, line.indexOf(' '))));
}

async function install(report: Report): Promise<void> {
  const missing = await missingPackages();
  const names = missing.map(({ name }) => name);
  if (process.getuid?.() !== 0) {
    throw new Failure(
      'unavailable',
      `not root, and these Debian packages are missing: ${names.join(' ')}`,
    );
  }
  for (const { name, for: purpose } of missing) report.say(`${name}: ${purpose}`);
  await withoutServices(async () => {
    let updated = (await known(names)) ? undefined : await update(report);
    try {
      await apt(['install', '--no-install-recommends', ...names], report);
    } catch {
      // Lists that are some days old name files that are gone.
      updated ??= await update(report);
      await apt(['install', '--no-install-recommends', ...names], report, updated);
    }
  });
}

/** @returns the first complaint of `apt-get update`, for which some index is no failure; else '' */
async function update(report: Report): Promise<string> {
  let complaint = '';
  await apt(['update'], {
    ...report,
    progress: (line) => {
      if (complaint === '' && /^[WE]: /.test(line)) complaint = line.slice(3);
      report.progress(line);
    },
  });
  return complaint;
}

/** True when apt's lists have every one of `names`. */
async function known(names: string[]): Promise<boolean> {
  try {
    await run(['apt-cache', 'show', '--no-all-versions', ...names]);
    return true;
  } catch {
    return false;
  }
}

async function apt(args: string[], report: Report, complaint = ''): Promise<void> {
  const argv: [string, ...string[]] = ['apt-get', '-q', '-y', '-o', 'DPkg::Lock::Timeout=300'];
  try {
    await follow([...argv, ...args], report.progress, {
      env: { DEBIAN_FRONTEND: 'noninteractive' },
    });
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    const lines = error.stderr.split('\n');
    const word = lines.find((line) => line.startsWith('E:')) ?? lines.at(-1) ?? '';
    const reason = complaint === '' ? '' : ` (apt-get update: ${complaint})`;
    throw new Failure(
      'unavailable',
      `apt-get ${args[0]} failed: ${word.replace(/^E: /, '')}${reason}`,
      { cause: error },
    );
  }
}
