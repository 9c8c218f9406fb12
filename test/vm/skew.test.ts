import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { useGo } from '../../scripts/bootstrap/go.ts';
import { cpio } from '../../scripts/build/image/cpio.ts';
import { inTree } from '../../scripts/tree.ts';
import { run } from '../../src/host/run.ts';
import { locateImages, MANIFEST } from '../../src/image/images.ts';
import { Lab } from '../lab/lab.ts';
import { hostState } from './host-state.ts';

/** The images of this tree, but for an agent that is linked with other words. */
async function imagesWithAgent(directory: string, words: Record<string, string>): Promise<string> {
  useGo();
  const agent = join(directory, 'agent');
  const flags = Object.entries(words).map(([name, value]) => `-X main.${name}=${value}`);
  await run(
    ['go', 'build', '-trimpath', '-buildvcs=false', '-ldflags', flags.join(' '), '-o', agent, '.'],
    {
      cwd: inTree('agent'),
      env: { CGO_ENABLED: '0', GOFLAGS: '-mod=readonly' },
      timeoutMs: 120_000,
    },
  );
  const images = await locateImages();
  const modules = readFileSync(join(dirname(images.kernel), 'modules.cpio'));
  const init = cpio([{ name: 'init', mode: 0o755, content: readFileSync(agent) }]);
  const initramfs = join(directory, 'initramfs');
  writeFileSync(initramfs, Buffer.concat([modules, init]));
  const manifest = join(directory, 'images.json');
  writeFileSync(manifest, JSON.stringify({ ...images, initramfs }));
  return manifest;
}

describe('a guest whose agent is of another vmsan', () => {
  let lab: Lab;
  let directory: string;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'vmsan-skew-'));
    // A QEMU of any uid reads the initramfs.
    chmodSync(directory, 0o755);
    lab = await Lab.start();
    await lab.vmsan(['daemon', 'start'], { check: true });
  });
  after(async () => {
    await lab?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  const useImages = async (manifest: string) =>
    lab.exec(['mount', '--bind', manifest, MANIFEST], { check: true });

  test('works when both speak the same protocol', async () => {
    await useImages(await imagesWithAgent(directory, { version: '0.0.1' }));
    await lab.vmsan(['create', '--name', 'older', '--memory', '256m'], { check: true });
    assert.equal((await lab.vmsan(['exec', 'older', 'echo', 'hi'])).stdout, 'hi\n');
    await lab.vmsan(['rm', '--force', 'older'], { check: true });
  });

  test('is refused by name when they do not, and nothing is left of it', async () => {
    const clean = await hostState(lab);
    await imagesWithAgent(directory, { version: '9.9.9', protocol: '9' });
    const { exitCode, stderr } = await lab.vmsan(['create', '--memory', '256m']);
    assert.equal(exitCode, 1);
    assert.equal(
      stderr,
      'vmsan: the guest’s agent is of vmsan 9.9.9 and speaks protocol 9, this daemon 1\n' +
        'hint: npm run bootstrap\n',
    );
    assert.equal(await hostState(lab), clean);
  });
});
