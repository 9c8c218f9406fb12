import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { text } from 'node:stream/consumers';
import { build } from 'esbuild';

/** The CLI as it ships: bundled, run as a process of its own. */
export interface Program extends AsyncDisposable {
  /** Runs `vmsan …` to its end. `runDir` is a daemon's; by default nobody's. */
  run(argv: string[], options?: RunOptions): Promise<Ended>;
  start(argv: string[], options?: RunOptions): ChildProcess;
}

export interface RunOptions {
  runDir?: string;
  stdin?: string | Buffer;
  env?: Record<string, string>;
  /** What is run instead of the program's own argv. */
  wrap?: (argv: string[]) => string[];
}

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** The build id of a program made here. */
export const BUILD = 'a-test';

export async function bundledProgram(): Promise<Program> {
  const home = mkdtempSync(join(tmpdir(), 'vmsan-cli-'));
  const directory = join(home, 'build/bundle');
  const main = join(directory, 'cli.cjs');
  await build({
    entryPoints: { cli: fileURLToPath(new URL('../main.ts', import.meta.url)) },
    outdir: directory,
    bundle: true,
    format: 'cjs',
    outExtension: { '.js': '.cjs' },
    define: { 'import.meta.url': '_url' },
    platform: 'node',
    target: 'node24',
    logLevel: 'error',
    banner: { js: "const _url = require('node:url').pathToFileURL(__filename).href;" },
  });
  writeFileSync(join(home, 'package.json'), '{"type": "module", "version": "0.0.0-test"}');
  writeFileSync(join(directory, 'build.json'), JSON.stringify({ id: BUILD }));
  const start = (argv: string[], options: RunOptions = {}): ChildProcess => {
    const own = [process.execPath, main, ...argv];
    const [file, ...words] = options.wrap?.(own) ?? own;
    return spawn(file!, words, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        VMSAN_RUN_DIR: options.runDir ?? join(home, 'run'),
        VMSAN_STATE_DIR: join(home, 'state'),
        ...options.env,
      },
    });
  };
  return {
    start,
    async run(argv, options = {}) {
      const child = start(argv, options);
      const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
      child.stdin?.on('error', () => {});
      child.stdin?.end(options.stdin ?? '');
      const [stdout, stderr] = await Promise.all([text(child.stdout!), text(child.stderr!)]);
      return { code: await ended, stdout, stderr };
    },
    async [Symbol.asyncDispose]() {
      rmSync(home, { recursive: true, force: true });
    },
  };
}
