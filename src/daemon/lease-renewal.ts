import { flowsOf } from '../net/flows.ts';
import type { VmNetwork } from '../net/plan.ts';
import { holdsPort } from '../policy/ports.ts';
import type { Leases } from './leases.ts';

const EVERY_MS = 5_000;
/** What ends within it is looked at: three rounds, and half of the shortest lease. */
const NEARLY_MS = 15_000;

/**
 * Asks, from time to time, that names be resolved again which are about to
 * lose an address of an open flow. A guest's own packets renew nothing: it
 * could hold an address for ever that the name has long left. What the name
 * has left runs out; its flows go on by their mark until the next change.
 * @param renew has the gate resolve names again, and lease what it finds
 */
export function keepRenewing(
  leases: Leases,
  renew: (vmId: string, names: string[]) => Promise<void>,
  onError: (vmId: string, error: unknown) => void,
): NodeJS.Timeout {
  const round = () => {
    leases.expire();
    for (const [id, network] of leases.running()) {
      try {
        const names = namesToRenew(leases, id, network);
        if (names.length > 0) renew(id, names).catch((error: unknown) => onError(id, error));
      } catch (error) {
        onError(id, error);
      }
    }
  };
  return setInterval(round, EVERY_MS).unref();
}

/** The names of addresses that open flows go to and that are nearly over. */
function namesToRenew(leases: Leases, id: string, network: VmNetwork): string[] {
  const soon = Date.now() + NEARLY_MS;
  const ending = leases
    .holdings(id)
    .filter(({ ports, expiresAtMs }) => ports.length > 0 && expiresAtMs < soon);
  if (ending.length === 0) return [];
  const flows = flowsOf(network);
  const used = ending.filter(({ address, ports }) =>
    flows.some(
      ({ destination, protocol, port }) =>
        destination === address &&
        (protocol === 'tcp' || protocol === 'udp') &&
        port !== undefined &&
        holdsPort(ports, protocol, port),
    ),
  );
  return [...new Set(used.map(({ name }) => name))];
}
