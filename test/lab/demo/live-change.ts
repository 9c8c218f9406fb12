import { closed, killGroup } from '../command.ts';
import type { Lab } from '../lab.ts';
import { until } from '../until.ts';
import * as world from '../world.ts';
import type { Outcome } from './probes.ts';

/** What `vmsan network <vm> --network-policy … --json` prints. */
interface Receipt {
  before: { policy: string; generation: number };
  after: { policy: string; generation: number };
  effectiveMs: number;
}

/**
 * Changes the policy of a running VM to deny-all while a download runs in it.
 * The download must end, at both ends, without the guest having been restarted.
 */
export async function denyWhileDownloading(lab: Lab, vm: string): Promise<Outcome> {
  const bootId = ['exec', vm, 'cat', '/proc/sys/kernel/random/boot_id'];
  const { stdout: bootedBefore } = await lab.vmsan(bootId, { check: true });
  const mark = await lab.mark();
  const url = `http://${world.website.name}/drip`;
  const download = lab.spawn(['vmsan', 'exec', vm, 'curl', '-sSN', url]);
  let seen = '';
  download.stdout!.on('data', (chunk: Buffer) => (seen += chunk.toString()));
  const ended = closed(download);
  ended.catch(() => {});
  const serverSawEnd = async () =>
    (await lab.log(mark)).some(
      ({ event, address }) => event === 'closed' && address === world.website.address,
    );
  try {
    await until('the download runs', () => seen.includes('drip 2\n'), { deadlineMs: 10_000 });
    const args = ['network', vm, '--network-policy', 'deny-all'];
    const receipt = await lab.vmsanJson<Receipt>(args);
    await until('the server saw the download end', serverSawEnd);
    const atTheEnd = seen;
    const { stdout: bootedAfter } = await lab.vmsan(bootId, { check: true });
    const cut = download.exitCode !== null && download.exitCode !== 0;
    return {
      policy: 'to deny-all, live',
      what: 'a download in flight',
      command: `vmsan ${args.join(' ')}`,
      promised: 'denied',
      guest: cut ? `cut off (curl: ${download.exitCode})` : 'not a byte more',
      internet: `its end, ${receipt.effectiveMs.toFixed(1)} ms`,
      asPromised:
        seen === atTheEnd &&
        receipt.after.policy === 'deny-all' &&
        receipt.after.generation > receipt.before.generation &&
        bootedAfter === bootedBefore,
    };
  } finally {
    killGroup(download);
  }
}
