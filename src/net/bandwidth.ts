import { ipBatch } from '../host/ip.ts';
import { Failure } from '../host/failure.ts';
import { tcBatch } from '../host/tc.ts';
import type { Bandwidth } from '../policy/bandwidth.ts';
import type { VmNetwork } from './plan.ts';

/**
 * A VM's limits, as queueing disciplines in its netns. A discipline delays what
 * leaves its link: `up0` sends what the guest sends, proxied and DNS traffic
 * included, and the TAP what the guest receives. A VM without a netns has no
 * link of its own that sends what it sends: that limit is refused.
 */

/** The longest frame of a link with an MTU of 1500, as the kernel counts it. */
const FRAME_BYTES = 1514;

/** The default of gso_max_size (linux/netdevice.h, GSO_LEGACY_MAX_SIZE). */
const WHOLE_SEGMENT_BYTES = 65_536;

/**
 * Token buckets (tc-tbf(8)): the bytes that may go at once, and those that may
 * wait. Ten milliseconds' worth may go at once, two frames at least. A segment that
 * is no longer than that waits whole, and one for which there is no room is dropped
 * whole: so twice as much may wait, and eight frames at least. So long a ping waits
 * behind a full queue.
 */
export function bucketOf(rate: number): { burst: number; limit: number } {
  const bytesIn = (ms: number) => Math.round((rate / 8 / 1000) * ms);
  return {
    burst: Math.max(bytesIn(10), 2 * FRAME_BYTES),
    limit: Math.max(bytesIn(20), 8 * FRAME_BYTES),
  };
}

/**
 * Brings a VM's two links to `wanted`, whatever they have. Twice is once.
 * @throws Failure `unavailable` when the kernel or tc cannot
 */
export async function setBandwidth(vm: VmNetwork, wanted: Bandwidth): Promise<void> {
  try {
    await tcBatch(vm.netns, disciplines(vm, wanted));
    await ipBatch(vm.netns, segments(vm, wanted));
  } catch (cause) {
    throw new Failure('unavailable', 'the bandwidth cannot be limited', {
      hint: 'modprobe sch_tbf; vmsan doctor',
      cause,
    });
  }
}

/** @throws Failure `bad_input` when a VM cannot have a limit */
export function refuseBareLimit(vm: { netns: boolean }, { out }: Bandwidth): void {
  if (vm.netns || out === null) return;
  throw new Failure('bad_input', 'without a network namespace, what a VM sends cannot be limited', {
    hint: 'leave out --no-netns, or --bandwidth; --bandwidth-in works',
  });
}

/** For `tc -batch`. */
export function disciplines(vm: VmNetwork, wanted: Bandwidth): string[] {
  const download = disciplineOf(vm.tap, wanted.in);
  return vm.netns === undefined ? download : [...disciplineOf(vm.uplink, wanted.out), ...download];
}

/**
 * For `ip -batch`. A limited link sends frames that are frames: of a segment that
 * is to be cut into them later, link counters miss the headers, 4 % of the bytes.
 * The discipline itself counts them. (Not gso_max_segs: a guest's segments do not
 * say of how many frames they are; gso_features_check in Linux's net/core/dev.c.)
 */
function segments(vm: VmNetwork, wanted: Bandwidth): string[] {
  const most = (rate: number | null) => (rate === null ? WHOLE_SEGMENT_BYTES : FRAME_BYTES);
  const download = `link set dev ${vm.tap} gso_max_size ${most(wanted.in)}`;
  if (vm.netns === undefined) return [download];
  return [`link set dev ${vm.uplink} gso_max_size ${most(wanted.out)}`, download];
}

function disciplineOf(link: string, rate: number | null): string[] {
  if (rate !== null) {
    const { burst, limit } = bucketOf(rate);
    return [`qdisc replace dev ${link} root tbf rate ${rate}bit burst ${burst} limit ${limit}`];
  }
  // There may be none, which to delete is an error: so there is one.
  return [`qdisc replace dev ${link} root pfifo`, `qdisc delete dev ${link} root`];
}
