import { build, type BuildOptions, type Plugin } from 'esbuild';
import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../../src/host/failure.ts';
import { inTree } from '../tree.ts';

/**
 * The product as a few files that Node starts fast:
 *
 *     build/bundle-<id>/{cli.cjs,daemon.js,gate.js}, build.json   never changed once made
 *     build/current -> bundle-<id>                                swapped in one rename
 *     build/cli.cjs -> current/cli.cjs                            and so on
 *
 * Node resolves the links of its main module, so a program that runs keeps the
 * files it was built with. The CLI is CommonJS, for which Node's loader of ES
 * modules need not start: a quarter less of a command's time. A command's module
 * is in that file too, and runs only when asked for.
 */
const BUILD = inTree('build');
const ENTRIES = { cli: 'src/cli/main.ts', daemon: 'src/daemon/main.ts', gate: 'src/gate/main.ts' };
const FILES = ['cli.cjs', 'daemon.js', 'gate.js'];
const KEPT = 6;

export interface Bundle {
  /** Of the bundle's content: 12 hex digits. */
  id: string;
  milliseconds: number;
}

/** True when no source is newer than the bundle: the same question as bin/vmsan's. */
export function bundleIsCurrent(): boolean {
  const built = builtAt(join(BUILD, 'current'));
  const sources = readdirSync(inTree('src'), { recursive: true, encoding: 'utf8' });
  const paths = ['package-lock.json', 'src', ...sources.map((name) => join('src', name))];
  return paths.every((path) => statSync(inTree(path)).mtimeMs <= built);
}

/** Builds the bundle. Any number may do so at the same time. */
export async function buildBundle(): Promise<Bundle> {
  // A source that changes from now on makes the bundle stale: see bin/vmsan.
  const start = new Date();
  mkdirSync(BUILD, { recursive: true });
  const temp = mkdtempSync(join(BUILD, '.bundle-'));
  try {
    for (const [name, source] of Object.entries(ENTRIES)) await build(options(name, source, temp));
    // The gate runs as another user.
    chmodSync(temp, 0o755);
    const id = hashOf(temp);
    const home = join(BUILD, `bundle-${id}`);
    writeFileSync(join(temp, 'build.json'), `${JSON.stringify({ id })}\n`);
    keep(temp, home);
    utimesSync(join(home, 'build.json'), start, start);
    link(`bundle-${id}`, 'current');
    for (const name of FILES) link(`current/${name}`, name);
    prune(id);
    return { id, milliseconds: Date.now() - start.getTime() };
  } finally {
    rmSync(temp, { recursive: true, force: true });
  }
}

/** Renames `temp` to `home`, unless the same bundle is there already. */
function keep(temp: string, home: string): void {
  try {
    renameSync(temp, home);
  } catch (error) {
    if (!isErrno(error, 'ENOTEMPTY', 'EEXIST')) throw error;
  }
}

function options(name: string, source: string, outdir: string): BuildOptions {
  return {
    absWorkingDir: inTree('.'),
    entryPoints: { [name]: source },
    outdir,
    bundle: true,
    platform: 'node',
    target: 'node24',
    sourcemap: 'linked',
    sourcesContent: false,
    legalComments: 'none',
    logLevel: 'error',
    // Native code, found by its place in node_modules.
    external: ['koffi'],
    plugins: [builtinsByName],
    ...(name === 'cli' ? COMMONJS : ES_MODULE),
  };
}

const COMMONJS: BuildOptions = {
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  define: { 'import.meta.url': '_url' },
  banner: { js: "const _url = require('node:url').pathToFileURL(__filename).href;" },
};

const ES_MODULE: BuildOptions = {
  format: 'esm',
  banner: {
    // For the CommonJS packages in the bundle.
    js: "import { createRequire as _cr } from 'node:module'; const require = _cr(import.meta.url);",
  },
};

/**
 * Node's own modules by `process.getBuiltinModule` instead of `import`, which
 * reads every export of theirs, getters included: of `node:http` that loads all
 * of undici, 20 ms of the gate's start and 12 of the daemon's.
 */
const builtinsByName: Plugin = {
  name: 'builtins by name',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: 'builtin' }));
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};

function hashOf(directory: string): string {
  const hash = createHash('sha256');
  for (const name of readdirSync(directory).toSorted()) {
    if (!/\.c?js$/.test(name)) continue;
    hash.update(`${name}\0`).update(readFileSync(join(directory, name)));
  }
  return hash.digest('hex').slice(0, 12);
}

function link(target: string, name: string): void {
  const temp = join(BUILD, `.${name}.${process.pid}`);
  rmSync(temp, { force: true });
  symlinkSync(target, temp);
  renameSync(temp, join(BUILD, name));
}

/**
 * Removes old bundles but the last few: a daemon that still runs on one may yet
 * have to start its gate.
 */
function prune(current: string): void {
  const dayAgo = Date.now() - 24 * 3600 * 1000;
  const old = readdirSync(BUILD)
    .filter((name) => name.startsWith('bundle-') && name !== `bundle-${current}`)
    .map((name) => ({ path: join(BUILD, name), builtAt: builtAt(join(BUILD, name)) }))
    .toSorted((a, b) => b.builtAt - a.builtAt)
    .slice(KEPT)
    .filter((bundle) => bundle.builtAt < dayAgo);
  for (const { path } of old) rmSync(path, { recursive: true, force: true });
}

/** 0 when it is not there. */
function builtAt(bundle: string): number {
  return statSync(join(bundle, 'build.json'), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

if (import.meta.main) {
  try {
    const { id, milliseconds } = await buildBundle();
    if (!process.argv.includes('--quiet')) console.log(`bundle ${id} built in ${milliseconds} ms`);
  } catch {
    // esbuild has said where and what.
    console.error('vmsan: the sources in src/ cannot be bundled');
    process.exitCode = 1;
  }
}
