import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../host/failure.ts';
import type { SharedNetwork } from './shared-network.ts';

const EVERY_MS = 2_000;
/** A look at rulesets of thousands takes its time, and is rarer: a twentieth of the time at most. */
const REST_PER_MS = 20;

/**
 * Follows the host's changes for as long as this process lives. Whoever makes
 * them has no news in common: resolv.conf is a file, routes and firewalls are
 * the kernel's, and iptables' older back-end has no events at all.
 * @param onError told of an error when it is not the one before
 */
export async function keepLookingAround(
  shared: SharedNetwork,
  onError: (error: unknown) => void,
): Promise<never> {
  let last = '';
  for (;;) {
    let tookMs = 0;
    try {
      tookMs = await shared.lookAround();
      last = '';
    } catch (error) {
      if (messageOf(error) !== last) onError(error);
      last = messageOf(error);
    }
    await delay(Math.max(EVERY_MS, REST_PER_MS * tookMs), undefined, { ref: false });
  }
}
