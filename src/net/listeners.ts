import { readFileSync } from 'node:fs';

/**
 * A TCP port on which something in this process's network namespace listens at
 * an address; undefined when nothing does. Source: /proc/net/tcp, tcp6 (proc(5)).
 *
 *     sl  local_address rem_address   st …
 *      0: 0100007F:0277 00000000:0000 0A …      an address is in host order, 0A is LISTEN
 */
export function listeningPort(address: string): number | undefined {
  const own = Buffer.from(address.split('.').map(Number)).reverse().toString('hex').toUpperCase();
  const open = new Set([ANY, ANY6, own, `${MAPPED}${own}`]);
  const ports = ['tcp', 'tcp6']
    .flatMap((file) => readFileSync(`/proc/thread-self/net/${file}`, 'utf8').split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(([, , , state]) => state === LISTEN)
    .map(([, local = '']) => local.split(':'))
    .filter(([at = '']) => open.has(at))
    .map(([, port = '']) => Number.parseInt(port, 16));
  return ports.length === 0 ? undefined : Math.min(...ports);
}

const LISTEN = '0A';
const ANY = '0'.repeat(8);
const ANY6 = '0'.repeat(32);
const MAPPED = `${'0'.repeat(16)}FFFF0000`;
