import koffi from 'koffi';
import { Failure } from './failure.ts';

/**
 * All foreign functions in one place: the system calls Node has no word for,
 * and libnftables. Every call is synchronous and runs on the calling thread.
 */

const O_CLOEXEC = 0o2000000;
const O_RDWR = 0o2;
const CLONE_NEWNET = 0x40000000;

// <sys/file.h>
const LOCK_EX = 2;
const LOCK_NB = 4;

// <linux/if_tun.h>
const TUNSETIFF = 0x400454ca;
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFNAMSIZ = 16;
const IFREQ_SIZE = 40;

// <linux/memfd.h>, <linux/fcntl.h>
const MFD_CLOEXEC = 0x0001;
const MFD_ALLOW_SEALING = 0x0002;
const F_ADD_SEALS = 1033;
const F_SEAL_SHRINK = 0x0002;
const F_SEAL_GROW = 0x0004;

// <sys/socket.h>, <netinet/in.h>
const AF_UNIX = 1;
export const AF_INET = 2;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_CLOEXEC = O_CLOEXEC;
const AF_NETLINK = 16;
export const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const MSG_DONTWAIT = 0x40;
// <linux/if_packet.h>, <linux/if_ether.h>
const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;
const PACKET_OUTGOING = 4;
const ETH_P_ALL = 3;
export const SO_REUSEADDR = 2;

// <signal.h>
const SIG_SETMASK = 2;
const SIGSET_BYTES = 128;

const libc = koffi.load('libc.so.6');
/** For src/host's own use. */
export const calls = {
  open: libc.func('int open(const char *path, int flags)'),
  close: libc.func('int close(int fd)'),
  setns: libc.func('int setns(int fd, int nstype)'),
  sigmask: libc.func('int pthread_sigmask(int how, const uint8_t *set, _Out_ uint8_t *before)'),
  flock: libc.func('int flock(int fd, int operation)'),
  ioctl: libc.func('int ioctl(int fd, unsigned long request, _Inout_ uint8_t *argument)'),
  memfdCreate: libc.func('int memfd_create(const char *name, unsigned int flags)'),
  ftruncate: libc.func('int ftruncate(int fd, int64_t length)'),
  fcntl: libc.func('int fcntl(int fd, int command, int argument)'),
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  bind: libc.func('int bind(int fd, const uint8_t *address, uint32_t length)'),
  recv: libc.func('int64_t recv(int fd, _Out_ uint8_t *bytes, size_t length, int flags)'),
  listen: libc.func('int listen(int fd, int backlog)'),
  shutdown: libc.func('int shutdown(int fd, int how)'),
  getsockname: libc.func(
    'int getsockname(int fd, _Out_ uint8_t *address, _Inout_ uint32_t *length)',
  ),
  setsockopt: libc.func(
    'int setsockopt(int fd, int level, int name, const uint8_t *value, uint32_t length)',
  ),
  getsockopt: libc.func(
    'int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *length)',
  ),
  recvfrom: libc.func(
    'long recvfrom(int fd, _Out_ uint8_t *bytes, size_t size, int flags, _Out_ uint8_t *from, _Inout_ uint32_t *length)',
  ),
  ifNameToIndex: libc.func('unsigned int if_nametoindex(const char *name)'),
};

/** A system call that failed; `code` is the errno's name, as in Node's own errors. */
export class SystemCallFailed extends Error {
  override readonly name = 'SystemCallFailed';
  readonly code: string;

  constructor(call: string, errno: number) {
    const code = ERRNO_NAMES.get(errno) ?? `errno ${errno}`;
    super(`${call}: ${code}`);
    this.code = code;
  }
}

const ERRNO_NAMES = new Map(Object.entries(koffi.os.errno).map(([name, number]) => [number, name]));

export function check(call: string, result: number): number {
  if (result < 0) throw new SystemCallFailed(call, koffi.errno());
  return result;
}

export function closeFd(fd: number): void {
  calls.close(fd);
}

/**
 * Takes an exclusive lock on an open file, without waiting.
 * @returns false when another process holds it
 */
export function tryLock(fd: number): boolean {
  if (calls.flock(fd, LOCK_EX | LOCK_NB) === 0) return true;
  const error = new SystemCallFailed('flock', koffi.errno());
  if (error.code === 'EAGAIN' || error.code === 'EWOULDBLOCK') return false;
  throw error;
}

let home: number | undefined;

/**
 * Runs `action` with the calling thread in the network namespace at `path`; as
 * it is when that is undefined.
 * `action` must be synchronous: were it to await, other work of this process
 * would run in the wrong namespace. A thread that cannot come back would do
 * the same, so the process ends there and then.
 *
 * Only what `action` does on this thread is in the namespace: system calls by
 * FFI and Node's `*Sync` functions, /proc/sys/net included.
 */
export function inNetns<T>(path: string | undefined, action: () => T): T {
  if (path === undefined) return action();
  home ??= check('open', calls.open('/proc/thread-self/ns/net', O_CLOEXEC));
  const target = check(`open ${path}`, calls.open(path, O_CLOEXEC));
  try {
    check('setns', calls.setns(target, CLONE_NEWNET));
  } finally {
    calls.close(target);
  }
  try {
    return action();
  } finally {
    if (calls.setns(home, CLONE_NEWNET) !== 0) process.abort();
  }
}

const EVERY_SIGNAL = Buffer.alloc(SIGSET_BYTES, 0xff);

/**
 * Runs `action` with every signal held back from this thread; another one
 * handles what comes, or this one afterwards. For foreign code that takes an
 * interrupted system call for a failed one: select(2) is interrupted whatever
 * the handler's flags are, as by the SIGCHLD of each child of ours.
 */
export function withoutSignals<T>(action: () => T): T {
  const before = Buffer.alloc(SIGSET_BYTES);
  calls.sigmask(SIG_SETMASK, EVERY_SIGNAL, before);
  try {
    return action();
  } finally {
    calls.sigmask(SIG_SETMASK, before, null);
  }
}

/**
 * Opens a TAP device in the calling thread's network namespace, creating it.
 * The device lives as long as the descriptor. It has a virtio-net header, so
 * that the guest may hand over unsegmented packets.
 * @returns the descriptor, closed on exec
 */
export function openTap(name: string): number {
  const request = Buffer.alloc(IFREQ_SIZE);
  request.write(name, 0, IFNAMSIZ - 1, 'ascii');
  request.writeUInt16LE(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, IFNAMSIZ);
  const fd = check('open /dev/net/tun', calls.open('/dev/net/tun', O_RDWR | O_CLOEXEC));
  try {
    check('ioctl TUNSETIFF', calls.ioctl(fd, TUNSETIFF, request));
    return fd;
  } catch (error) {
    calls.close(fd);
    throw error;
  }
}

/**
 * A file in memory that is `bytes` long, zeros at first, and stays so: writing
 * beyond its end fails (memfd_create(2), fcntl(2) F_ADD_SEALS).
 * @returns the descriptor, closed on exec
 */
export function boundedFile(name: string, bytes: number): number {
  const fd = check('memfd_create', calls.memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  try {
    check('ftruncate', calls.ftruncate(fd, bytes));
    check('fcntl F_ADD_SEALS', calls.fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK));
    return fd;
  } catch (error) {
    calls.close(fd);
    throw error;
  }
}

/**
 * A bound UDP socket on an IPv4 address, to be handed to a child process.
 * @param receiveBytes what may wait in it, beyond net.core.rmem_max too; without CAP_NET_ADMIN
 *   it stays at the default
 */
export function bindUdp(address: readonly number[], port: number, receiveBytes?: number): number {
  const fd = boundSocket(AF_INET, SOCK_DGRAM, inetAddress(address, port));
  if (receiveBytes !== undefined) {
    const value = Buffer.alloc(4);
    value.writeUInt32LE(receiveBytes);
    calls.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, value, value.length);
  }
  return fd;
}

/** A listening TCP socket on an IPv4 address, to be handed to a child process. */
export function listenTcp(address: readonly number[], port: number): number {
  const fd = boundSocket(AF_INET, SOCK_STREAM, inetAddress(address, port));
  check('listen', calls.listen(fd, 512));
  return fd;
}

export function setOption(fd: number, level: number, option: number, value: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  check('setsockopt', calls.setsockopt(fd, level, option, bytes, bytes.length));
}

/**
 * A netlink socket that hears what a protocol of the kernel's tells, in the
 * calling thread's network namespace (netlink(7)).
 * @param group counted from 1, at most 32
 */
export function listenNetlink(protocol: number, group: number): number {
  // struct sockaddr_nl: family, padding, port (the kernel chooses), groups.
  const address = Buffer.alloc(12);
  address.writeUInt16LE(AF_NETLINK, 0);
  address.writeUInt32LE(2 ** (group - 1), 8);
  return boundSocket(AF_NETLINK, SOCK_RAW, address, protocol);
}

/**
 * What waits in a socket, without waiting for it.
 * @returns the number of bytes; null when there are none
 * @throws SystemCallFailed; `ENOBUFS` when some were lost (netlink(7))
 */
export function receiveNow(fd: number, bytes: Uint8Array): number | null {
  const got = Number(calls.recv(fd, bytes, bytes.length, MSG_DONTWAIT));
  if (got >= 0) return got;
  const error = new SystemCallFailed('recv', koffi.errno());
  if (error.code === 'EAGAIN' || error.code === 'EWOULDBLOCK') return null;
  throw error;
}

/** A listening unix socket, to be handed to a child process. The path must be free. */
export function listenUnix(path: string): number {
  // struct sockaddr_un: family, then at most 108 bytes of path.
  const name = Buffer.from(`${path}\0`);
  if (name.length > 108) throw new Failure('bad_input', `${path}: too long for a unix socket`);
  const address = Buffer.alloc(2 + name.length);
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  const fd = boundSocket(AF_UNIX, SOCK_STREAM, address);
  check('listen', calls.listen(fd, 128));
  return fd;
}

// struct sockaddr_ll (packet(7)): family, protocol, interface, hatype, pkttype, halen, address.
const LINK_ADDRESS_BYTES = 20;
const PKTTYPE_AT = 10;

/**
 * A socket that gets a copy of every frame of a link, before any rule looks at
 * it (packet(7)). It ends with its descriptor.
 * @param receiveBytes what may wait in it
 */
export function tapLink(name: string, receiveBytes: number): number {
  const index = calls.ifNameToIndex(name) as number;
  if (index === 0) throw new SystemCallFailed(`if_nametoindex ${name}`, koffi.errno());
  const address = Buffer.alloc(LINK_ADDRESS_BYTES);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16BE(ETH_P_ALL, 2);
  address.writeInt32LE(index, 4);
  const type = SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC;
  // Protocol 0: nothing comes in before it is bound to its link.
  const fd = check('socket AF_PACKET', calls.socket(AF_PACKET, type, 0));
  try {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(receiveBytes);
    check('setsockopt', calls.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, size, size.length));
    check('bind', calls.bind(fd, address, address.length));
    return fd;
  } catch (error) {
    calls.close(fd);
    throw error;
  }
}

/**
 * The next frame that came in on a tapped link, its beginning; those that go out
 * are left out.
 * @returns undefined when none is waiting
 */
export function nextFrame(fd: number, most: number): Buffer | undefined {
  const bytes = Buffer.alloc(most);
  const from = Buffer.alloc(LINK_ADDRESS_BYTES);
  for (;;) {
    const count = Number(calls.recvfrom(fd, bytes, most, MSG_DONTWAIT, from, [from.length]));
    if (count < 0) {
      const error = new SystemCallFailed('recvfrom', koffi.errno());
      if (error.code === 'EINTR') continue;
      if (error.code === 'EAGAIN' || error.code === 'EWOULDBLOCK') return undefined;
      throw error;
    }
    if (from[PKTTYPE_AT] !== PACKET_OUTGOING) return bytes.subarray(0, count);
  }
}

/** How many frames a tapped link has lost since this was last asked, for want of room. */
export function lostFrames(fd: number): number {
  // struct tpacket_stats: packets, drops.
  const statistics = Buffer.alloc(8);
  check(
    'getsockopt PACKET_STATISTICS',
    calls.getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, statistics, [statistics.length]),
  );
  return statistics.readUInt32LE(4);
}

export function inetAddress(address: readonly number[], port: number): Buffer {
  // struct sockaddr_in: family in host order, port and address in network order.
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(address, 4);
  return bytes;
}

function boundSocket(domain: number, type: number, address: Buffer, protocol = 0): number {
  const fd = check('socket', calls.socket(domain, type | SOCK_CLOEXEC, protocol));
  try {
    const on = Buffer.from([1, 0, 0, 0]);
    if (domain === AF_INET && type === SOCK_STREAM) {
      check('setsockopt', calls.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, on, on.length));
    }
    check('bind', calls.bind(fd, address, address.length));
    return fd;
  } catch (error) {
    calls.close(fd);
    throw error;
  }
}
