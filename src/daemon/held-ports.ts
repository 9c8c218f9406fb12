import { closeFd } from '../host/ffi.ts';
import { Failure, isErrno } from '../host/failure.ts';
import { holdPort } from '../host/hold-port.ts';
import { overlaps, type HostNetwork } from '../net/plan.ts';
import type { PublishedPort } from '../policy/published-ports.ts';

/**
 * The host's ports that VMs publish, each with a socket that keeps everybody
 * else from it. What comes to them is turned before it reaches a socket, so
 * without these a service of the host's would start, and be reached by nobody.
 * They end with the daemon; the next one takes them again.
 */
export class HeldPorts {
  readonly #host: HostNetwork;
  /** Descriptors by VM and port. */
  readonly #held = new Map<string, Map<string, number>>();

  constructor(host: HostNetwork) {
    this.#host = host;
  }

  /**
   * Takes ports for a VM: all of them or none. What it has already it keeps.
   * @param leaving what it has and gives up; of these, the ones in the way are given back now
   * @returns them, with a number for each that may be any
   * @throws Failure that names the port and why it cannot be had
   */
  hold(
    vm: string,
    ports: readonly PublishedPort[],
    leaving: readonly PublishedPort[] = [],
  ): PublishedPort[] {
    const inTheWay = leaving.filter((old) => this.holds(vm, old) && ports.some(sameNumber(old)));
    const taken: PublishedPort[] = [];
    this.release(vm, inTheWay);
    try {
      return ports.map((port) => {
        if (this.holds(vm, port)) return port;
        const found = this.#hold(vm, port);
        taken.push(found);
        return found;
      });
    } catch (error) {
      this.release(vm, taken);
      this.hold(vm, inTheWay);
      throw error;
    }
  }

  holds(vm: string, port: PublishedPort): boolean {
    return this.#held.get(vm)?.has(keyOf(port)) ?? false;
  }

  /** Gives ports of a VM's back, or all that it has. What it does not have is no error. */
  release(vm: string, ports: 'all' | readonly PublishedPort[]): void {
    const held = this.#held.get(vm);
    if (held === undefined) return;
    for (const key of ports === 'all' ? [...held.keys()] : ports.map(keyOf)) {
      const fd = held.get(key);
      if (fd !== undefined) closeFd(fd);
      held.delete(key);
    }
    if (held.size === 0) this.#held.delete(vm);
  }

  #hold(vm: string, port: PublishedPort): PublishedPort {
    this.#refuseOwn(port);
    const address = port.address?.split('.').map(Number) ?? null;
    try {
      const { fd, port: hostPort } = holdPort(port.protocol, address, port.hostPort);
      const found = { ...port, hostPort, guestPort: port.guestPort || hostPort };
      const held = this.#held.get(vm) ?? new Map<string, number>();
      this.#held.set(vm, held.set(keyOf(found), fd));
      return found;
    } catch (error) {
      throw this.#refusal(port, error);
    }
  }

  /** The gate's own ports: it may not be listening yet, or again. */
  #refuseOwn({ address, hostPort }: PublishedPort): void {
    const { gateIp, dnsPort, httpPort, tlsPort, pools } = this.#host;
    const ours = [pools.subnetPool, pools.transitPool].find(
      (pool) => address !== null && overlaps(pool, `${address}/32`),
    );
    if (ours !== undefined) {
      throw new Failure('bad_input', `${address} is in ${ours}, which is vmsan's own`);
    }
    if (address !== null || ![dnsPort, httpPort, tlsPort].includes(hostPort)) return;
    throw new Failure('conflict', `port ${hostPort} is vmsan's own, at ${gateIp}`, {
      hint: `publish it on an address of the host's, or another port`,
    });
  }

  #refusal(port: PublishedPort, error: unknown): unknown {
    const { address, protocol, hostPort } = port;
    if (isErrno(error, 'EADDRNOTAVAIL')) {
      return new Failure('conflict', `${address} is not an address of this host`, {
        hint: 'ip -4 address',
      });
    }
    if (isErrno(error, 'EMFILE', 'ENFILE')) {
      return new Failure('exhausted', 'too many ports are published on this host');
    }
    if (!isErrno(error, 'EADDRINUSE')) return error;
    const name = `port ${hostPort}/${protocol}${address === null ? '' : ` of ${address}`}`;
    const other = [...this.#held].find(([, held]) =>
      [...held.keys()].some((key) => key.endsWith(`:${hostPort}/${protocol}`)),
    );
    const hint =
      other === undefined
        ? `ss -Hlnp${protocol === 'tcp' ? 't' : 'u'} 'sport = :${hostPort}', or publish another port`
        : `vmsan port ${other[0]}`;
    return new Failure('conflict', `${name} is in use`, { hint });
  }
}

function sameNumber(old: PublishedPort): (port: PublishedPort) => boolean {
  return ({ protocol, hostPort }) => protocol === old.protocol && hostPort === old.hostPort;
}

function keyOf({ protocol, address, hostPort }: PublishedPort): string {
  return `${address ?? '0.0.0.0'}:${hostPort}/${protocol}`;
}
