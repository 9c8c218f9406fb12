import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { run } from '../src/host/run.ts';
import { QEMU_PROGRAM } from '../src/vmm/qemu/arguments.ts';
import { inTree } from '../scripts/tree.ts';

/** What the numbers depend on besides the code. */
export interface Environment {
  cores: number;
  cpu: string;
  memoryMib: number;
  kernel: string;
  qemu: string;
  accelerator: string | undefined;
  node: string;
  /** Of the bundle that was measured. */
  build: string;
  /** Load average of the last minute before the start: what else the host did. */
  loadBefore: number;
}

export async function environment(): Promise<Omit<Environment, 'accelerator'>> {
  const { stdout } = await run([QEMU_PROGRAM, '--version']);
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryMib: Math.round(totalmem() / 2 ** 20),
    kernel: release(),
    qemu: /version (\S+)/.exec(stdout)?.[1] ?? 'unknown',
    node: process.version,
    build: bundleId(),
    loadBefore: Number(loadavg()[0]?.toFixed(2)),
  };
}

function bundleId(): string {
  const text = readFileSync(inTree('build/current/build.json'), 'utf8');
  return (JSON.parse(text) as { id: string }).id;
}
