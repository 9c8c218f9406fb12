import {
  AF_INET,
  calls,
  check,
  inetAddress,
  setOption,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
} from './ffi.ts';

// <sys/socket.h>, <netinet/in.h>
const AF_INET6 = 10;
const SO_RCVBUF = 8;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const SHUT_RD = 0;
const ANY = [0, 0, 0, 0];

/** A port that is taken, and the descriptor that gives it back when it is closed. */
export interface HeldPort {
  fd: number;
  port: number;
}

/**
 * Takes a port so that nobody else has it, without serving it: by TCP, and by
 * IPv6, whoever comes is refused at once.
 * @param address null: every address of the host's
 * @param port 0: any that is free
 * @throws SystemCallFailed `EADDRINUSE`, `EADDRNOTAVAIL`
 */
export function holdPort(
  protocol: 'tcp' | 'udp',
  address: readonly number[] | null,
  port: number,
): HeldPort {
  const { fd, name } = holdingSocket(protocol, address, port);
  try {
    if (protocol === 'tcp') holdTcp(fd, name, port);
    else check('bind', calls.bind(fd, name, name.length));
    return { fd, port: boundPort(fd) };
  } catch (error) {
    calls.close(fd);
    throw error;
  }
}

/** TCP on every address is held of both families by one socket, where there are both. */
function holdingSocket(
  protocol: 'tcp' | 'udp',
  address: readonly number[] | null,
  port: number,
): { fd: number; name: Buffer } {
  if (protocol === 'udp') {
    // Of IPv4 alone: what comes by IPv6 is then refused, where this would swallow it.
    const fd = check('socket', calls.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    // What comes past the rules is nobody's: the kernel keeps as little of it as it can.
    setOption(fd, SOL_SOCKET, SO_RCVBUF, 0);
    return { fd, name: inetAddress(address ?? ANY, port) };
  }
  const fd = address === null ? calls.socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
  if (fd >= 0) {
    setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    return { fd, name: inet6Any(port) };
  }
  return {
    fd: check('socket', calls.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
    name: inetAddress(address ?? ANY, port),
  };
}

/**
 * Binds so that the connections of an earlier server, which the kernel still
 * remembers, are in nobody's way: with SO_REUSEADDR. That alone would let
 * others with it bind too. A socket that listens lets nobody; and one that is
 * shut down again keeps its port (Linux, inet_csk_listen_start, tcp_disconnect).
 */
function holdTcp(fd: number, name: Buffer, port: number): void {
  // The kernel would give a port that others with the option have.
  if (port !== 0) setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  check('bind', calls.bind(fd, name, name.length));
  check('listen', calls.listen(fd, 0));
  setOption(fd, SOL_SOCKET, SO_REUSEADDR, 0);
  check('shutdown', calls.shutdown(fd, SHUT_RD));
}

function boundPort(fd: number): number {
  const name = Buffer.alloc(28);
  const length = [name.length];
  check('getsockname', calls.getsockname(fd, name, length));
  return name.readUInt16BE(2);
}

function inet6Any(port: number): Buffer {
  // struct sockaddr_in6: family, port, flow, 16 bytes of address, scope.
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  return bytes;
}
