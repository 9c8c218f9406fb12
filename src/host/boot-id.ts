import { readFileSync } from 'node:fs';

/** Names this boot of the host: another after each reboot (random(4)). */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
