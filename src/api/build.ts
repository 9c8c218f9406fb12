import { readFileSync } from 'node:fs';

/**
 * Where the running program's parts are. The bundler writes every part into
 * one directory, with `build.json` (`{"id": …}`) beside them; from sources the
 * parts are modules of the tree and the build has no id of its own.
 */
const fromSource = import.meta.url.endsWith('.ts');

/** The build id of a program run from its sources. */
export const SOURCE_BUILD = 'source';

/** The id of the running build. Two programs with equal ids are the same code. */
export function buildId(): string {
  if (fromSource) return SOURCE_BUILD;
  const { id } = JSON.parse(readFileSync(new URL('./build.json', import.meta.url), 'utf8')) as {
    id: string;
  };
  return id;
}

/** vmsan's version, from package.json beside or above the running program. */
export function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** The daemon's entry point, as a file URL for `process.execPath`. */
export function daemonProgram(): URL {
  return new URL(fromSource ? '../daemon/main.ts' : './daemon.js', import.meta.url);
}

/** The gate's program: always the bundle, one file that can be copied to where the gate's uid may read it. */
export function gateProgram(): URL {
  return new URL(fromSource ? '../../build/gate.js' : './gate.js', import.meta.url);
}
