import type { Part } from './plan.ts';
import type { Series } from './statistics.ts';
import { api, vmsan } from './vmsan.ts';

const NAME = 'bench';
const POLICIES = ['deny-all', 'allow-all'];

/** What short commands take, whole, as a user waits for them; on a host with one VM. */
export async function measureCalls(
  parts: readonly Part[],
  counts: { calls: number; changes: number },
): Promise<Series[]> {
  const series: Series[] = [];
  await vmsan('create', '--name', NAME);
  if (parts.includes('list')) {
    series.push(await command('list/cli', counts.calls, () => ['list']));
  }
  if (parts.includes('exec')) {
    series.push(await command('exec/cli', counts.calls, () => ['exec', NAME, 'true']));
  }
  if (parts.includes('network')) {
    const change = (index: number) => ['network', NAME, '--network-policy', policy(index)];
    series.push(await command('network/cli', counts.calls, change));
    series.push(...(await changes(counts.changes)));
  }
  await vmsan('rm', '--force', NAME);
  return series;
}

async function command(
  name: string,
  count: number,
  args: (index: number) => string[],
): Promise<Series> {
  const samples: number[] = [];
  for (let index = 0; index < count; index += 1) {
    samples.push((await vmsan(...args(index))).endMs);
  }
  return { name, what: `\`vmsan ${args(0).join(' ')}\`, start to end`, samples };
}

/** Changes of policy one after the other: by the daemon's own clock, and by its caller's. */
async function changes(count: number): Promise<Series[]> {
  const daemon = api();
  const inDaemon: number[] = [];
  const forCaller: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const start = performance.now();
    const receipt = await daemon.call('setNetwork', { vm: NAME, policy: policy(index) }, 30_000);
    forCaller.push(performance.now() - start);
    inDaemon.push(Number(receipt.effectiveMs));
  }
  return [
    {
      name: 'network/daemon',
      what: 'a change of policy, from its arrival to the kernel’s commit (the receipt)',
      samples: inDaemon,
    },
    { name: 'network/api', what: 'the same as a caller of the API waits', samples: forCaller },
  ];
}

function policy(index: number): string {
  return POLICIES[index % POLICIES.length]!;
}
