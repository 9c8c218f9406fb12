import { chmodSync, globSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { loadSettings } from '../src/api/settings.ts';
import { run } from '../src/host/run.ts';
import { download } from '../scripts/build/image/apt.ts';
import { cached, hashOf } from '../scripts/build/image/cache.ts';

/** Programs of Debian packages that are not installed. Plain data: it goes to other processes. */
export interface Tools {
  /** Their paths, by name. */
  programs: Record<string, string>;
  /** For those programs to find their libraries. */
  env: { LD_LIBRARY_PATH: string };
}

const DEADLINE_MS = 120_000;

/**
 * Unpacks packages into the cache, with those that they need and this machine
 * has not. Nothing is installed, and no service is started.
 */
export async function unpacked(packages: readonly string[]): Promise<Tools> {
  const { stdout } = await run([
    'apt-get',
    '-s',
    '--no-install-recommends',
    'install',
    ...packages,
  ]);
  const wanted = [...stdout.matchAll(/^Inst (\S+) (?:\[\S+\] )?\((\S+) /gm)].map(
    ([, name = '', version = '']) => ({ name, version }),
  );
  const hash = hashOf(wanted.map(({ name, version }) => `${name} ${version}`).join('\n'));
  const root = await cached(
    join(loadSettings().cacheDir, 'images'),
    'tools',
    hash,
    async (directory) => {
      const temp = mkdtempSync(join(tmpdir(), 'vmsan-tools-'));
      try {
        for (const each of wanted) await download(each, temp);
        for (const archive of globSync('*.deb', { cwd: temp })) {
          await run(['dpkg-deb', '-x', join(temp, archive), directory], { timeoutMs: DEADLINE_MS });
        }
      } finally {
        rmSync(temp, { recursive: true, force: true });
      }
    },
  );
  // What is in the cache is files, as a rule.
  for (const name of readdirSync(root)) chmodSync(join(root, name), 0o755);
  const found = (pattern: string) =>
    globSync(pattern, { cwd: root }).map((path) => join(root, path));
  return {
    programs: Object.fromEntries(found('usr/{bin,sbin}/*').map((path) => [basename(path), path])),
    env: { LD_LIBRARY_PATH: found('usr/lib/*-linux-gnu*').join(':') },
  };
}

/** The path of a program. @throws Error when the packages have none of that name */
export function programOf({ programs }: Tools, name: string): string {
  const path = programs[name];
  if (path === undefined) throw new Error(`no package has ${name}`);
  return path;
}
