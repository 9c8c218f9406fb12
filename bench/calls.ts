import type { Part } from './plan.ts';
import type { Series } from './statistics.ts';
import { api, vmsan } from './vmsan.ts';

const NAME = 'bench';

/** A policy as the API takes it. */
interface Request {
  policy: string;
  allowedCidrs?: string[];
  deniedCidrs?: string[];
}

const PLAIN: readonly Request[] = [{ policy: 'deny-all' }, { policy: 'allow-all' }];
/** 48 networks allowed and 16 denied, others each time. */
const LISTS: readonly Request[] = [64, 128].map((first) => ({
  policy: 'custom',
  allowedCidrs: Array.from({ length: 48 }, (_, index) => `203.0.${first + index}.0/25`),
  deniedCidrs: Array.from({ length: 16 }, (_, index) => `203.0.${first + index}.16/28`),
}));

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
    const change = (index: number) => ['network', NAME, '--network-policy', plain(index).policy];
    series.push(await command('network/cli', counts.calls, change));
    series.push(...(await changes('network', PLAIN, counts.changes)));
    series.push(...(await changes('network/lists', LISTS, counts.changes)));
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
async function changes(
  name: string,
  requests: readonly Request[],
  count: number,
): Promise<Series[]> {
  const daemon = api();
  const inDaemon: number[] = [];
  const forCaller: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const request = { vm: NAME, ...requests[index % requests.length]! };
    const start = performance.now();
    const receipt = await daemon.call('setNetwork', request, 30_000);
    forCaller.push(performance.now() - start);
    inDaemon.push(Number(receipt.effectiveMs));
  }
  const kind =
    requests === LISTS ? 'between lists of 64 networks' : 'deny-all to allow-all and back';
  return [
    {
      name: `${name}/daemon`,
      what: `a change of policy, ${kind}, from its arrival to the kernel’s commit (the receipt)`,
      samples: inDaemon,
    },
    { name: `${name}/api`, what: 'the same as a caller of the API waits', samples: forCaller },
  ];
}

function plain(index: number): Request {
  return PLAIN[index % PLAIN.length]!;
}
