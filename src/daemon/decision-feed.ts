import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../host/failure.ts';
import type { Gate } from './gate.ts';
import type { Traffic } from './traffic.ts';

const RETRY_MS = 200;

/** Takes down what a gate decides, for as long as it lives. */
export async function followDecisions(
  gate: Gate,
  traffic: Pick<Traffic, 'takeFromGate'>,
  onError: (why: string) => void,
): Promise<void> {
  while (gate.isAlive()) {
    try {
      for await (const batch of gate.watchDecisions()) traffic.takeFromGate(batch);
    } catch (error) {
      if (gate.isAlive()) onError(messageOf(error));
    }
    await delay(RETRY_MS, undefined, { ref: false });
  }
}
