import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { realpathSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { loadSettings } from '../../src/api/settings.ts';
import { Failure } from '../../src/host/failure.ts';
import { CommandFailed, run } from '../../src/host/run.ts';
import { inTree } from '../tree.ts';
import { follow } from './follow.ts';
import type { Report, Step } from './step.ts';

/** The Go that is brought where the machine's is too old (Debian 12 has 1.19). */
const PINNED = JSON.parse(readFileSync(inTree('toolchain/go/toolchain.json'), 'utf8')) as {
  version: string;
  /** The hash of the toolchain's module, as in go.sum, by `process.arch`. */
  sums: Record<string, string>;
};

/** The bin directory of the Go in use: a link. */
const LINK = inTree('build/go');

export interface Go {
  path: string;
  /** Such as 1.24.4. */
  version: string;
}

/** A Go that can build the agent, at build/go/go. */
export const goToolchain: Step = {
  title: 'Go',
  missing: async () => {
    const linked = await ask(join(LINK, 'go'));
    return linked !== undefined && isEnough(linked) ? undefined : `Go ${required()} or later`;
  },
  bring: async (report) => {
    const found = await findGo();
    if (found === undefined) {
      throw new Failure('unavailable', `no Go found: install Go ${required()} or later`);
    }
    link(isEnough(found) ? found.path : await fetchPinned(found, report));
  },
};

/** Puts build/go first in this process's PATH, for all that runs `go` or `gofmt`. */
export function useGo(): void {
  process.env['PATH'] = `${LINK}:${process.env['PATH'] ?? ''}`;
}

/** The first Go of this machine that is enough for the agent, else any, else undefined. */
export async function findGo(): Promise<Go | undefined> {
  const debian = readdirSync('/usr/lib').filter((name) => /^go-1\.\d+$/.test(name));
  const paths = [
    ...(process.env['PATH'] ?? '').split(':').map((directory) => join(directory, 'go')),
    '/usr/local/go/bin/go',
    ...debian.map((name) => `/usr/lib/${name}/bin/go`),
  ];
  let first: Go | undefined;
  for (const path of new Set(paths)) {
    const found = await ask(path);
    if (found !== undefined && isEnough(found)) return found;
    first ??= found;
  }
  return first;
}

/** What agent/go.mod asks for. */
function required(): string {
  const version = /^go (\S+)$/m.exec(readFileSync(inTree('agent/go.mod'), 'utf8'))?.[1];
  if (version === undefined) throw new Error('agent/go.mod has no go line');
  return version;
}

function isEnough(found: Go): boolean {
  return found.version.localeCompare(required(), 'en', { numeric: true }) >= 0;
}

async function ask(path: string): Promise<Go | undefined> {
  if (!path.startsWith('/') || !existsSync(path)) return undefined;
  try {
    // Without GOTOOLCHAIN=local a Go of 1.21 or later may fetch and run another one.
    const { stdout } = await run([path, 'version'], { cwd: '/', env: { GOTOOLCHAIN: 'local' } });
    const version = /^go version go(\S+)/.exec(stdout)?.[1];
    return version === undefined ? undefined : { path: realpathSync(path), version };
  } catch (error) {
    if (error instanceof CommandFailed) return undefined;
    throw error;
  }
}

/** @returns the path of the pinned Go's `go`, which `old` fetched as a module into the cache */
async function fetchPinned(old: Go, report: Report): Promise<string> {
  const { version } = PINNED;
  const cache = join(loadSettings().cacheDir, 'go');
  const home = join(cache, version);
  const path = join(home, 'bin/go');
  if (existsSync(path)) return path;
  const sum = PINNED.sums[process.arch];
  const advice = `install Go ${required()} or later (found ${old.version})`;
  if (sum === undefined) throw new Failure('unavailable', advice);

  report.say(`Go ${old.version} is too old: fetching Go ${version} through its module proxy`);
  mkdirSync(cache, { recursive: true });
  const temp = mkdtempSync(join(cache, '.new-'));
  try {
    const module = await download(old.path, temp, report);
    if (module.Error !== undefined) {
      const message = `Go ${version} could not be fetched: ${module.Error}; ${advice}`;
      throw new Failure('unavailable', message);
    }
    if (module.Sum !== sum) {
      throw new Failure('unavailable', `Go ${version} as fetched has the wrong hash; ${advice}`);
    }
    makeExecutable(module.Dir);
    chmodSync(temp, 0o755);
    if (!existsSync(home)) renameSync(module.Dir, home);
  } finally {
    rmSync(temp, { recursive: true, force: true });
  }
  return path;
}

interface Download {
  Dir: string;
  Sum: string;
  Error?: string;
}

async function download(go: string, moduleCache: string, report: Report): Promise<Download> {
  const arch = process.arch === 'x64' ? 'amd64' : process.arch;
  const module = `golang.org/toolchain@v0.0.1-go${PINNED.version}.linux-${arch}`;
  const env = {
    GOMODCACHE: moduleCache,
    GOTOOLCHAIN: 'local',
    GOFLAGS: '-modcacherw',
    GO111MODULE: 'on',
    GOWORK: 'off',
  };
  const lines: string[] = [];
  const onLine = (line: string) => {
    lines.push(line);
    report.progress(line);
  };
  try {
    await follow([go, 'mod', 'download', '-json', module], onLine, { cwd: moduleCache, env });
  } catch (error) {
    // A download that fails says so in its JSON too.
    if (!(error instanceof CommandFailed) || !lines.includes('{')) throw error;
  }
  const json = lines.slice(lines.indexOf('{'), lines.lastIndexOf('}') + 1).join('\n');
  return JSON.parse(json) as Download;
}

/** The module cache keeps no execute bits. */
function makeExecutable(goroot: string): void {
  const tools = join(goroot, 'pkg/tool');
  const directories = [join(goroot, 'bin'), ...readdirSync(tools).map((name) => join(tools, name))];
  for (const directory of directories) {
    for (const name of readdirSync(directory)) chmodSync(join(directory, name), 0o755);
  }
}

function link(path: string): void {
  const temp = `${LINK}.${process.pid}`;
  rmSync(temp, { force: true });
  symlinkSync(dirname(path), temp);
  renameSync(temp, LINK);
}
