import { existsSync } from 'node:fs';
import { run } from '../../src/host/run.ts';
import { inTree } from '../tree.ts';
import { filesOfTree, textOf } from './files.ts';

const MAX_LINES = 400;

/** Files that a person writes and that are too long. For TypeScript the linter says so too. */
export function longFiles(): string[] {
  return filesOfTree('**/*.{ts,go,sh}')
    .filter((path) => !path.startsWith('src/gen/') && !path.startsWith('agent/gen/'))
    .map((path) => ({ path, lines: textOf(path).split('\n').length - 1 }))
    .filter(({ lines }) => lines > MAX_LINES)
    .map(({ path, lines }) => `${path}: ${lines} lines, more than ${MAX_LINES}`);
}

/** How a test waits for time to pass instead of for a condition. */
const SLEEPS = [
  // await new Promise((resolve) => setTimeout(resolve, 100))
  /new Promise[^(]*\(\s*\(?(\w+)\)?\s*=>\s*\{?\s*setTimeout\(\s*(?:\(\)\s*=>\s*)?\1\b/g,
  /promisify\(\s*setTimeout/g,
  /\bAtomics\.wait\(/g,
  // await vm.exec(['sleep', '1']), execSync('sleep 1')
  /\b(?:await\s+[\w.]+|\w+Sync)\(\s*\[?\s*['"`]sleep(?:['"`]| [^'"`&]*['"`])/g,
  /\btime\.Sleep\(/g,
];

/**
 * Sleeps in tests. A line in which sleeping is the thing under test says
 * `not a wait:` and why.
 */
export function sleepsInTests(): string[] {
  const tests = filesOfTree('{test/**/*.ts,**/*.test.ts,agent/**/*_test.go}');
  return [...new Set(tests)].flatMap((path) => {
    const text = textOf(path);
    return SLEEPS.flatMap((sleep) => [...text.matchAll(sleep)])
      .map(({ index }) => text.slice(0, index).split('\n').length)
      .filter((line) => !(text.split('\n')[line - 1] ?? '').includes('not a wait:'))
      .map((line) => `${path}:${line}: a test waits for a condition: until() of test/lab/until.ts`);
  });
}

/** The usual names of hosts that give out packages. */
const PACKAGE_HOST =
  /https?:\/\/(?:[\w-]+\.)*(?:registry|mirrors?|deb|archive|snapshot|proxy|ftp)\.(?:[\w-]+\.)*(?!example|test)[a-z]{2,}\b/g;

/** Hosts of package registries and mirrors: each machine has its own, the tree names none. */
export async function packageHosts(): Promise<string[]> {
  const configured = await configuredHosts();
  return filesOfTree('{*,.*,**/*,.ci/*}').flatMap((path) => {
    const text = textOf(path);
    const lines = path.endsWith('package-lock.json') && text.includes('"resolved":');
    const found = [...text.matchAll(PACKAGE_HOST)].map(([url]) => url);
    const own = configured.filter((host) => text.includes(host));
    return [...new Set([...found, ...own, ...(lines ? ['"resolved"'] : [])])].map(
      (name) => `${path}: has ${name} in it`,
    );
  });
}

/** Where this machine's npm, Go and apt get packages from. */
async function configuredHosts(): Promise<string[]> {
  const npm = await run(['npm', 'config', 'get', 'registry'], { cwd: inTree('.') });
  const go = await run(['go', 'env', 'GOPROXY', 'GOSUMDB'], { env: { GOTOOLCHAIN: 'local' } });
  const apt = await run(['apt-get', 'indextargets', '--format', '$(URI)']);
  const urls = `${npm.stdout}\n${go.stdout}\n${apt.stdout}`;
  const hosts = [...urls.matchAll(/https?:\/\/(?:[^@/\s]*@)?([^/:,\s]+)/g)].map((m) => m[1] ?? '');
  return [...new Set(hosts)].filter((host) => host.includes('.'));
}

/** The licence that package.json names must be there in full. */
export function missingLicence(): string[] {
  if (!existsSync(inTree('LICENSE'))) return ['LICENSE is missing'];
  const text = textOf('LICENSE');
  const whole = text.includes('Apache License') && text.includes('END OF TERMS AND CONDITIONS');
  return whole ? [] : ['LICENSE is not the whole Apache License 2.0'];
}

interface LockFile {
  packages: Record<string, { optionalDependencies?: Record<string, string> }>;
}

/**
 * `npm install` beside an existing node_modules can leave the packages of other
 * platforms out of the lock file; `npm ci` of npm 11 then refuses it.
 */
export function holesInLockFiles(): string[] {
  return filesOfTree('**/package-lock.json').flatMap((path) => {
    const { packages } = JSON.parse(textOf(path)) as LockFile;
    const optional = Object.values(packages).flatMap((entry) =>
      Object.keys(entry.optionalDependencies ?? {}),
    );
    const present = new Set(Object.keys(packages).map((key) => key.split('node_modules/').at(-1)));
    return optional
      .filter((name) => !present.has(name))
      .map((name) => `${path} lacks ${name}: remove it and node_modules, then npm install`);
  });
}
