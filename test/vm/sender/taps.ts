import { closeSync, fstatSync, readdirSync, readFileSync, readlinkSync, writeSync } from 'node:fs';
import koffi from 'koffi';

/**
 * The TAPs of VMs, taken from whoever has them open: the daemon, then QEMU.
 * A TAP has one descriptor only, so ours is a copy of theirs (pidfd_getfd(2)),
 * and writes to it are frames that come from the guest.
 */
const libc = koffi.load('libc.so.6');
const calls = {
  syscall: libc.func('long syscall(long number, ...)'),
  ioctl: libc.func('int ioctl(int fd, unsigned long request, _Inout_ uint8_t *argument)'),
};
/** The same on every architecture. */
const PIDFD_OPEN = 434;
const PIDFD_GETFD = 438;
// <linux/sockios.h>; a TAP's descriptor answers both.
const SIOCGIFHWADDR = 0x8927;
const SIOCGSKNS = 0x894c;
// <linux/if_tun.h>
const TUNGETVNETHDRSZ = 0x800454d7;
const IFREQ_SIZE = 40;
const HWADDR_AT = 18;

export class Tap {
  /** Of the network namespace it is in. */
  readonly inode: number;
  readonly #fd: number;

  private constructor(fd: number, inode: number) {
    this.#fd = fd;
    this.inode = inode;
  }

  /** Every TAP that a process of this PID namespace has open in a namespace that `wanted` names. */
  static findIn(wanted: ReadonlySet<number>): Tap[] {
    const found = new Map<number, Tap>();
    for (const pid of readdirSync('/proc')) {
      if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
      for (const fd of openTaps(pid)) {
        const tap = Tap.#copy(Number(pid), fd);
        if (tap === null) continue;
        if (wanted.has(tap.inode) && !found.has(tap.inode)) found.set(tap.inode, tap);
        else tap.close();
      }
    }
    return [...found.values()];
  }

  static #copy(pid: number, fd: number): Tap | null {
    const process = Number(calls.syscall(PIDFD_OPEN, 'int', pid, 'uint', 0));
    if (process < 0) return null;
    const copy = Number(calls.syscall(PIDFD_GETFD, 'int', process, 'int', fd, 'uint', 0));
    closeSync(process);
    if (copy < 0) return null;
    const netns = calls.ioctl(copy, SIOCGSKNS, Buffer.alloc(IFREQ_SIZE)) as number;
    if (netns < 0) {
      closeSync(copy);
      return null;
    }
    const { ino } = fstatSync(netns);
    closeSync(netns);
    return new Tap(copy, ino);
  }

  /** Its address on the host's side: `06:76:6d:00:00:01`. */
  mac(): string {
    const request = Buffer.alloc(IFREQ_SIZE);
    calls.ioctl(this.#fd, SIOCGIFHWADDR, request);
    const bytes = request.subarray(HWADDR_AT, HWADDR_AT + 6);
    return bytes.toString('hex').replaceAll(/(..)(?!$)/g, '$1:');
  }

  /** @returns whether the kernel took it: it does not while the link is down */
  send(frame: Buffer): boolean {
    // Zeros: a frame with nothing to say (linux/virtio_net.h). QEMU makes the header longer for its guest.
    const header = Buffer.alloc(4);
    calls.ioctl(this.#fd, TUNGETVNETHDRSZ, header);
    try {
      writeSync(this.#fd, Buffer.concat([Buffer.alloc(header.readUInt32LE()), frame]));
      return true;
    } catch {
      return false;
    }
  }

  /** As long as it is open its namespace lives, also without a name. */
  close(): void {
    closeSync(this.#fd);
  }
}

/** Descriptors of a process that are TAPs; none when it has just ended. */
function openTaps(pid: string): number[] {
  try {
    if (!/^(?:node|qemu|unshare|setpriv)/.test(readFileSync(`/proc/${pid}/comm`, 'utf8')))
      return [];
    return readdirSync(`/proc/${pid}/fd`)
      .filter((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === '/dev/net/tun')
      .map(Number);
  } catch {
    return [];
  }
}
