import koffi from 'koffi';

// <linux/if_tun.h>
const TUNSETOFFLOAD = 0x400454d0n;
const TUN_F_CSUM = 0x01n;
const TUN_F_TSO4 = 0x02n;

const ioctl = koffi
  .load('libc.so.6')
  .func('int ioctl(int fd, unsigned long request, unsigned long argument)');

/** Takes packets that are to be cut into frames later, as QEMU does for a guest that can. */
export function takeOffloads(tap: number): void {
  if (ioctl(tap, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) === 0) return;
  throw new Error(`TUNSETOFFLOAD: errno ${koffi.errno()}`);
}
