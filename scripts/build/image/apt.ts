import { Failure } from '../../../src/host/failure.ts';
import { CommandFailed, run } from '../../../src/host/run.ts';

/** Debian's name of this machine's architecture. */
export const ARCHITECTURE = process.arch === 'x64' ? 'amd64' : process.arch;

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const APT_DEADLINE_MS = 10 * 60_000;

export interface ConcretePackage {
  name: string;
  version: string;
}

/**
 * The package that a metapackage stands for now.
 * @throws Failure when this machine's Debian sources do not have it
 */
export async function concreteOf(metapackage: string): Promise<ConcretePackage> {
  return (
    (await lookUp(metapackage)) ??
    (await refreshed(() => lookUp(metapackage))) ??
    missing(`the package ${metapackage}`)
  );
}

async function lookUp(metapackage: string): Promise<ConcretePackage | undefined> {
  const name = field('Depends', await show(metapackage))?.split(/[ ,(]/)[0];
  if (name === undefined) return undefined;
  const version = field('Version', await show(name));
  return version === undefined ? undefined : { name, version };
}

async function show(name: string): Promise<string> {
  try {
    return (await run(['apt-cache', 'show', '--no-all-versions', name])).stdout;
  } catch (error) {
    if (error instanceof CommandFailed && error.exitCode !== null) return '';
    throw error;
  }
}

function field(name: string, record: string): string | undefined {
  return new RegExp(`^${name}: (.+)$`, 'm').exec(record)?.[1];
}

/** Downloads a package into `directory`, refreshing apt's lists once if they are too old. */
export async function download(wanted: ConcretePackage, directory: string): Promise<void> {
  const argv = ['apt-get', '-qq', '-o', 'APT::Sandbox::User=root', 'download'];
  const get = () =>
    run([...argv, `${wanted.name}=${wanted.version}`], {
      cwd: directory,
      timeoutMs: APT_DEADLINE_MS,
    });
  try {
    await get();
  } catch {
    await refreshed(get);
  }
}

/**
 * This machine's own Debian sources as lines of sources.list(5), third parties
 * left out: their Release files do not say `Origin: Debian`.
 */
export async function debianSources(): Promise<string[]> {
  const sources = await listSources();
  if (sources.length > 0) return sources;
  const found = await refreshed(listSources);
  return found.length > 0 ? found : missing('the base system');
}

async function listSources(): Promise<string[]> {
  const { stdout } = await run([
    ...['apt-get', 'indextargets', '--format', '$(REPO_URI) $(RELEASE) $(COMPONENT)'],
    ...['Created-By: Packages', 'Origin: Debian', `Architecture: ${ARCHITECTURE}`],
  ]);
  const lines = stdout.split('\n').filter((line) => /^(https?|file):/.test(line));
  return [...new Set(lines)].map(
    (line) => `deb [arch=${ARCHITECTURE} signed-by=${KEYRING}] ${line}`,
  );
}

/**
 * What this machine's apt needs to reach its sources, for another apt that
 * works in a directory of its own and does not read /etc/apt.
 */
export async function aptOptions(): Promise<string[]> {
  const { stdout } = await run(['apt-config', 'dump', '--format', '%f "%v";%n']);
  const kept = /^Acquire::(https?::(Proxy|Timeout)|Check-Valid-Until|Check-Date|Retries)\b/i;
  return stdout.split('\n').filter((line) => kept.test(line) && !line.endsWith(' "";'));
}

async function refreshed<T>(again: () => Promise<T>): Promise<T> {
  await run(['apt-get', '-qq', 'update'], { timeoutMs: APT_DEADLINE_MS });
  return again();
}

function missing(what: string): never {
  throw new Failure('unavailable', `this machine’s Debian sources do not have ${what}`, {
    hint: 'check the sources in /etc/apt, then `apt-get update`',
  });
}
