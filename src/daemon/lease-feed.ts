import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../host/failure.ts';
import type { Gate, LeaseBatch } from './gate.ts';
import type { Leases } from './leases.ts';

const RETRY_MS = 200;

/**
 * Takes the leases that a gate asks for, for as long as it lives. While nobody
 * does, it lets no guest know an address that would have to be let through.
 */
export async function followLeases(
  gate: Gate,
  leases: Leases,
  onError: (why: string) => void,
): Promise<void> {
  while (gate.isAlive()) {
    try {
      for await (const batch of gate.watchLeases()) {
        acknowledge(gate, leases, batch).catch((error: unknown) => onError(messageOf(error)));
      }
    } catch (error) {
      if (gate.isAlive()) onError(messageOf(error));
    }
    await delay(RETRY_MS, undefined, { ref: false });
  }
}

/** Batches do not wait for each other: one VM's change of policy is no other's. */
async function acknowledge(gate: Gate, leases: Leases, batch: LeaseBatch): Promise<void> {
  await gate.ackLeases(batch.id, await leases.take(batch.leases));
}
