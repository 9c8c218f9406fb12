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

/** The server of the download: nothing else in the demo goes there. */
export const DOWNLOAD = world.github;

export interface Cut extends Disposable {
  /** What became of the download from the receipt of the change until now. */
  outcome(): Promise<Outcome>;
}

/**
 * Changes the policy of a running VM to deny-all while a download runs in it,
 * and keeps watching: not a byte of it may reach the guest any more, which
 * must not have been restarted for that.
 */
export async function denyWhileDownloading(lab: Lab, vm: string): Promise<Cut> {
  const bootId = ['exec', vm, 'cat', '/proc/sys/kernel/random/boot_id'];
  const { stdout: bootedBefore } = await lab.vmsan(bootId, { check: true });
  const url = `http://${DOWNLOAD.name}/drip`;
  const download = lab.spawn(['vmsan', 'exec', vm, 'curl', '-sSN', url]);
  let seen = '';
  download.stdout!.on('data', (chunk: Buffer) => (seen += chunk.toString()));
  closed(download).catch(() => {});
  const stop = () => killGroup(download);
  try {
    await until('the download runs', () => seen.includes('drip 2\n'), { deadlineMs: 10_000 });
    const args = ['network', vm, '--network-policy', 'deny-all'];
    const receipt = await lab.vmsanJson<Receipt>(args);
    const mark = await lab.mark();
    const since = performance.now();
    // What was on its way from the guest to us has come once another command is through.
    const { stdout: bootedAfter } = await lab.vmsan(bootId, { check: true });
    const seenThen = seen;
    const changed =
      receipt.after.policy === 'deny-all' && receipt.after.generation > receipt.before.generation;
    return {
      [Symbol.dispose]: stop,
      outcome: async () => {
        const seconds = ((performance.now() - since) / 1000).toFixed(1);
        const code = download.exitCode;
        const after = await lab.log(mark);
        const ended = after.some((c) => c.event === 'closed' && c.address === DOWNLOAD.address);
        const packets = await lab.packetsTo(DOWNLOAD.address, { since: mark });
        const more = seen.length - seenThen.length;
        return {
          policy: 'deny-all, live',
          what: 'a download in flight',
          command: `vmsan ${args.join(' ')}`,
          promised: 'denied',
          guest: code === null ? `${more} bytes more in ${seconds} s` : `cut off (curl: ${code})`,
          internet: ended ? 'its end' : `${packets} packets more`,
          effectiveMs: receipt.effectiveMs,
          asPromised:
            changed &&
            more === 0 &&
            code !== 0 &&
            (ended || packets === 0) &&
            bootedBefore === bootedAfter,
        };
      },
    };
  } catch (error) {
    stop();
    throw error;
  }
}
