import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../../src/host/run.ts';
import { follow } from '../../bootstrap/follow.ts';
import { aptOptions, ARCHITECTURE, debianSources } from './apt.ts';
import { cached, hashOf, recipe, textsOf } from './cache.ts';

export const BASE_SOURCES = [
  'images/base.json',
  'scripts/build/image/apt.ts',
  'scripts/build/image/base.ts',
];

interface BaseRecipe {
  packages: string[];
  /** Paths that dpkg leaves out, and exceptions to that (dpkg(1), path-exclude). */
  exclude: string[];
  include: string[];
  users: { name: string; uid: number; shell: string }[];
}

const FILE_SYSTEM_ID = '00000000-0000-0000-0000-000000000001';
const PACK_DEADLINE_MS = 120_000;

/**
 * The guest's root file system, `base`: an erofs image, uncompressed, because a
 * page that needs no unpacking is what an emulated CPU reads fastest.
 * @returns its directory in the cache
 */
export async function buildBase(
  cache: string,
  report: { say(line: string): void; progress(line: string): void },
): Promise<string> {
  const suite = hostSuite();
  const hash = hashOf(textsOf(...BASE_SOURCES), suite, ARCHITECTURE);
  return cached(cache, 'base', hash, async (directory) => {
    const wanted = recipe<BaseRecipe>('base');
    report.say(`guest root file system: Debian ${suite} with ${wanted.packages.join(' ')}`);
    const temp = mkdtempSync(join(tmpdir(), 'vmsan-base-'));
    try {
      chmodSync(temp, 0o755);
      const root = join(temp, 'root');
      await bootstrap(root, suite, wanted, report.progress);
      const image = join(directory, 'base');
      // Not `-T`: Python would take its compiled modules for older than their sources.
      await run(['mkfs.erofs', `-U${FILE_SYSTEM_ID}`, '--quiet', image, root], {
        timeoutMs: PACK_DEADLINE_MS,
      });
    } finally {
      rmSync(temp, { recursive: true, force: true });
    }
  });
}

async function bootstrap(
  root: string,
  suite: string,
  wanted: BaseRecipe,
  onLine: (line: string) => void,
): Promise<void> {
  const sources = await debianSources();
  const argv: [string, ...string[]] = [
    'mmdebstrap',
    ...[
      '--mode=root',
      '--format=directory',
      '--variant=minbase',
      `--architectures=${ARCHITECTURE}`,
    ],
    ...(await aptOptions()).map((option) => `--aptopt=${option}`),
    ...wanted.exclude.map((path) => `--dpkgopt=path-exclude=${path}`),
    ...wanted.include.map((path) => `--dpkgopt=path-include=${path}`),
    `--include=${wanted.packages.join(',')}`,
    ...hooks(wanted).map((hook) => `--customize-hook=${hook}`),
    // The sources on stdin: without them mmdebstrap uses a mirror of its own.
    ...[suite, root, '-'],
  ];
  await follow(argv, onLine, { stdin: `${sources.join('\n')}\n` });
}

/** Shell lines that mmdebstrap runs with the root as $1. */
function hooks({ users }: BaseRecipe): string[] {
  return [
    ...users.map(
      ({ name, uid, shell }) =>
        `chroot "$1" useradd --create-home --uid ${uid} --shell ${shell} ${name}`,
    ),
    // mmdebstrap copies this machine's. The agent writes the guest's.
    'rm -f "$1/etc/resolv.conf"; install -m 644 /dev/null "$1/etc/resolv.conf"',
    'echo vmsan > "$1/etc/hostname"',
    'rm -f "$1"/etc/*- "$1"/var/log/*.log "$1"/var/log/apt/* "$1"/var/cache/ldconfig/aux-cache',
  ];
}

/** The Debian release of this machine: its sources have no other. */
function hostSuite(): string {
  const release = readFileSync('/etc/os-release', 'utf8');
  const codename = /^VERSION_CODENAME=(\S+)$/m.exec(release)?.[1];
  return codename ?? 'sid';
}
