import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { run } from '../../src/host/run.ts';
import { useGo } from '../bootstrap/go.ts';
import { filesUnder, sameFile } from '../check/files.ts';
import { inTree } from '../tree.ts';

/** Where generated code is, in the tree. */
const GENERATED = ['src/gen', 'agent/gen'];

/**
 * Generates the code of both contracts in proto/.
 * @param root the tree to write into: GENERATED of it is replaced
 * @throws CommandFailed with buf's words
 */
export async function generate(root: string): Promise<void> {
  for (const folder of GENERATED) rmSync(join(root, folder), { recursive: true, force: true });
  const buf = [process.execPath, inTree('node_modules/.bin/buf'), 'generate', '--output', root];
  // buf finds its plugins in the PATH, and they find their Node there.
  const path = [inTree('node_modules/.bin'), dirname(process.execPath), process.env['PATH'] ?? ''];
  const options = { cwd: inTree('proto'), env: { PATH: path.join(':') }, timeoutMs: 300_000 };
  await run([...buf, '--template', 'buf.gen.yaml'], options);
  const agent = ['--template', 'buf.gen.agent.yaml', '--path', 'vmsan/v1/agent.proto'];
  await run([...buf, ...agent], options);
}

/** @returns the generated files of the tree that are not what proto/ says, missing ones included */
export async function staleFiles(): Promise<string[]> {
  const fresh = mkdtempSync(join(tmpdir(), 'vmsan-generated-'));
  try {
    await generate(fresh);
    return GENERATED.flatMap((folder) => {
      const names = [...filesUnder(join(fresh, folder)), ...filesUnder(inTree(folder))];
      return [...new Set(names)]
        .map((name) => join(folder, name))
        .filter((path) => !sameFile(join(fresh, path), inTree(path)));
    });
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  useGo();
  await generate(inTree('.'));
}
