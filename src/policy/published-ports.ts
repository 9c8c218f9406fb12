import ipaddr from 'ipaddr.js';
import { PolicyError } from './error.ts';

/**
 * Ports of the host's that lead to a guest, as users write them:
 *
 *     [[bind:]host:]guest[/tcp|/udp]
 *
 * with a range in the place of a port, of the same length on both sides, and
 * `0` in the place of the host's for any that is free.
 */

/** One port of the host's, and the guest's that it leads to. */
export interface PublishedPort {
  readonly protocol: 'tcp' | 'udp';
  /** The host's address that it is on; null: all of them. */
  readonly address: string | null;
  /** 0, until one is found: any that is free. */
  readonly hostPort: number;
  /** 0: the same as the host's. */
  readonly guestPort: number;
}

/** Which of the published ports are meant: those that agree with all that is said. */
export interface PortSelection {
  /** As the user wrote it. */
  readonly text: string;
  readonly protocol: PublishedPort['protocol'];
  /** Undefined when it was not said. */
  readonly address: string | null | undefined;
  readonly hostPort: number;
  readonly guestPort: number | undefined;
}

/** Each is a socket that is held. */
const MAX_PORTS = 1000;
const LAST_PORT = 65_535;
const FORMS = 'write 8080, 8080:80, 127.0.0.1:8080:80, 8000-8010 or 53/udp; 0:80 takes a free port';

/**
 * Reads lists as flags carry them, with commas.
 * @throws PolicyError
 */
export function parsePublishedPorts(texts: readonly string[]): PublishedPort[] {
  const ports = itemsOf(texts).flatMap((item) => {
    const { protocol, address, host, guest } = readItem(item);
    return pairs(item, host ?? guest, guest).map(([hostPort, guestPort]) => ({
      protocol,
      address: address ?? null,
      hostPort,
      guestPort,
    }));
  });
  refuseClashes(ports);
  return ports;
}

/**
 * Reads what is to be published no more: by the host's ports, or as it was published.
 * @throws PolicyError
 */
export function parsePortSelections(texts: readonly string[]): PortSelection[] {
  return itemsOf(texts).flatMap((text) => {
    const { protocol, address, host, guest } = readItem(text);
    if ((host ?? guest).first === 0) {
      throw new PolicyError(`"${text}" is no port that can be published`, FORMS);
    }
    return pairs(text, host ?? guest, guest).map(([hostPort, guestPort]) => ({
      text,
      protocol,
      address,
      hostPort,
      guestPort: host === undefined ? undefined : guestPort,
    }));
  });
}

export function isSelected(port: PublishedPort, selection: PortSelection): boolean {
  const { protocol, address = port.address, hostPort, guestPort = port.guestPort } = selection;
  return (
    port.protocol === protocol &&
    port.address === address &&
    port.hostPort === hostPort &&
    port.guestPort === guestPort
  );
}

/**
 * Refuses two that want the same port of the host's, and too many.
 * @param ports all of one VM
 * @throws PolicyError
 */
export function refuseClashes(ports: readonly PublishedPort[]): void {
  if (ports.length > MAX_PORTS) {
    throw new PolicyError(`${ports.length} ports are more than the ${MAX_PORTS} of one VM`);
  }
  const seen = new Map<string, PublishedPort[]>();
  for (const port of ports.filter(({ hostPort }) => hostPort !== 0)) {
    const key = `${port.hostPort}/${port.protocol}`;
    const others = seen.get(key) ?? [];
    const clash = others.some(
      ({ address }) => address === null || port.address === null || address === port.address,
    );
    if (clash) throw new PolicyError(`port ${key} is published twice`);
    seen.set(key, [...others, port]);
  }
}

/** One as it is published: `0.0.0.0:8080 -> 80/tcp`. */
export function portText({ protocol, address, hostPort, guestPort }: PublishedPort): string {
  return `${address ?? '0.0.0.0'}:${hostPort} -> ${guestPort}/${protocol}`;
}

interface PortSpan {
  first: number;
  last: number;
}

interface Item {
  protocol: PublishedPort['protocol'];
  /** Undefined when it was not said; null: all of the host's. */
  address: string | null | undefined;
  /** Undefined when only one side was said. */
  host: PortSpan | undefined;
  guest: PortSpan;
}

function itemsOf(texts: readonly string[]): string[] {
  return texts.flatMap((text) => text.split(',')).map((item) => item.trim());
}

function readItem(item: string): Item {
  const [body = '', protocol = 'tcp', ...more] = item.split('/');
  if (protocol !== 'tcp' && protocol !== 'udp') {
    throw new PolicyError(`"${item}" has a protocol that is neither tcp nor udp`, FORMS);
  }
  if (body.includes('[') || body.split(':').length > 3) {
    const ipv6 = ipaddr.IPv6.isValid(body.replace(/^\[?(.*?)\]?(?::\d+){0,2}$/, '$1'));
    throw ipv6
      ? new PolicyError(`"${item}" names an IPv6 address; guests have IPv4 alone`)
      : malformed(item);
  }
  const [guest, host, address, ...rest] = body.split(':').toReversed();
  if (guest === undefined || rest.length > 0 || more.length > 0) throw malformed(item);
  const read = {
    protocol,
    address: address === undefined ? undefined : readAddress(item, address),
    host: host === undefined ? undefined : readSpan(item, host),
    guest: readSpan(item, guest),
  } as const;
  if (host !== undefined && read.guest.first === 0) {
    throw new PolicyError(`"${item}" has 0 for the guest's port; 0 is any of the host's`, FORMS);
  }
  return read;
}

/** An address that a host may have; all zeros are all of them. */
function readAddress(item: string, text: string): string | null {
  if (text === '0.0.0.0') return null;
  const octets = ipaddr.IPv4.isValidFourPartDecimal(text) ? ipaddr.IPv4.parse(text).octets : [0];
  const [first = 0] = octets;
  if (octets.join('.') === text && first > 0 && first < 224) return text;
  throw new PolicyError(
    `"${item}" begins with what is not an address of the host's`,
    'write its IPv4 address: 127.0.0.1:8080:80',
  );
}

function readSpan(item: string, text: string): PortSpan {
  const [match, from, to] = /^(0|[1-9]\d{0,4})(?:-([1-9]\d{0,4}))?$/.exec(text) ?? [];
  const first = Number(from);
  const last = Number(to ?? from);
  if (match === undefined || first > last || last > LAST_PORT || (first === 0 && last > 0)) {
    throw malformed(item);
  }
  return { first, last };
}

function malformed(item: string): PolicyError {
  return new PolicyError(`"${item}" is no port that can be published`, FORMS);
}

/** The ports of two ranges, side by side. */
function pairs(item: string, host: PortSpan, guest: PortSpan): [number, number][] {
  const count = guest.last - guest.first + 1;
  if (count !== host.last - host.first + 1) {
    throw new PolicyError(`"${item}" has ranges of different lengths`, FORMS);
  }
  if (count > MAX_PORTS) {
    throw new PolicyError(`"${item}" is more than the ${MAX_PORTS} ports of one VM`);
  }
  return Array.from({ length: count }, (_, index) => [host.first + index, guest.first + index]);
}
