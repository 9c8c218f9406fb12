import { createHash } from 'node:crypto';
import { globSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../../src/host/failure.ts';
import { run } from '../../src/host/run.ts';
import { useGo } from '../bootstrap/go.ts';
import { inTree } from '../tree.ts';

/** The agent's binary. The same sources and Go give the same bytes. */
export const AGENT = inTree('build/agent');
/** Beside it: the hash of the sources it was built from. */
const STAMP = inTree('build/agent.sources');
const BUILD_DEADLINE_MS = 10 * 60_000;

/** True when the agent was built from the present sources. */
export function agentIsCurrent(): boolean {
  try {
    readFileSync(AGENT);
    return readFileSync(STAMP, 'utf8') === sourcesHash();
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

/**
 * Builds the agent, if its sources have changed. Needs `go` in the PATH.
 * @throws CommandFailed with the compiler's words
 */
export async function buildAgent(): Promise<void> {
  if (agentIsCurrent()) return;
  const hash = sourcesHash();
  const temp = `${AGENT}.${process.pid}`;
  mkdirSync(inTree('build'), { recursive: true });
  const flags = `-s -w -buildid= -X main.version=${version()}`;
  await run(['go', 'build', '-trimpath', '-buildvcs=false', '-ldflags', flags, '-o', temp, '.'], {
    cwd: inTree('agent'),
    env: { CGO_ENABLED: '0', GOFLAGS: '-mod=readonly', GOOS: 'linux' },
    timeoutMs: BUILD_DEADLINE_MS,
  });
  renameSync(temp, AGENT);
  writeFileSync(STAMP, hash);
}

function sourcesHash(): string {
  const agent = inTree('agent');
  const files = globSync('**/*.{go,s,mod,sum}', { cwd: agent }).toSorted();
  const hash = createHash('sha256').update(version());
  for (const name of files.filter((file) => !file.endsWith('_test.go'))) {
    hash.update(`${name}\0`).update(readFileSync(join(agent, name)));
  }
  return hash.digest('hex');
}

function version(): string {
  const text = readFileSync(inTree('package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

if (import.meta.main) {
  useGo();
  await buildAgent();
}
