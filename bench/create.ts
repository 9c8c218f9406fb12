import { mkdtempSync } from 'node:fs';
import type { Accelerator } from '../src/vmm/vmm.ts';
import { BareQemu } from './bare.ts';
import { firstOutputByApi } from './first-output.ts';
import type { Series } from './statistics.ts';
import { api, vmsan } from './vmsan.ts';

const MEMORY_MIB = 512;
const DISK_BYTES = 10 * 2 ** 30;
const ECHO = ['echo', 'ready'];
const NAME = 'bench';

/**
 * From nothing to the first byte that a command in a new machine prints: bare
 * QEMU, vmsan by its API, vmsan by two commands of its CLI, in turn, so that
 * whatever else the host does hits all three. Each of vmsan's is the host's
 * only VM: what all VMs share, the gate among it, is made and unmade with it.
 */
export async function measureCreate(rounds: number, accelerator: Accelerator): Promise<Series[]> {
  const bare: Series = {
    name: 'create/bare',
    what: 'bare QEMU: copy a formatted disk, boot, first output of exec',
    samples: [],
  };
  const byApi: Series = {
    name: 'create/api',
    what: 'vmsan by its API: create, then first output of exec',
    samples: [],
  };
  const byCli: Series = {
    name: 'create/cli',
    what: 'vmsan by its CLI: `create`, then first output of `exec`',
    samples: [],
  };
  const remove: Series = { name: 'remove/cli', what: '`vmsan rm --force`', samples: [] };
  const qemu = await BareQemu.prepare({
    directory: mkdtempSync('/var/lib/vmsan-bench-'),
    accelerator,
    memoryMib: MEMORY_MIB,
    diskBytes: DISK_BYTES,
  });
  await qemu.firstOutput(ECHO);
  for (let round = 0; round < rounds; round += 1) {
    bare.samples.push(await qemu.firstOutput(ECHO));
    byApi.samples.push(await bootByApi());
    remove.samples.push((await vmsan('rm', '--force', NAME)).endMs);
    byCli.samples.push(await bootByCli());
    remove.samples.push((await vmsan('rm', '--force', NAME)).endMs);
  }
  return [bare, byApi, byCli, remove];
}

async function bootByCli(): Promise<number> {
  const create = await vmsan('create', '--name', NAME);
  const exec = await vmsan('exec', NAME, ...ECHO);
  return create.endMs + exec.firstMs;
}

async function bootByApi(): Promise<number> {
  const daemon = api();
  const start = performance.now();
  const request = {
    name: NAME,
    vcpus: 1,
    memoryMib: MEMORY_MIB,
    diskBytes: String(DISK_BYTES),
    policy: 'allow-all',
  };
  for await (const _ of daemon.stream('createVm', request)) {
    // Its steps, as they come.
  }
  return (await firstOutputByApi(daemon, NAME, ECHO)) - start;
}
