import ipaddr from 'ipaddr.js';
import type { Upstream } from '../dns/upstream.ts';
import type { SetSnapshotRequest } from '../gen/vmsan/v1/gate_pb.js';
import { Failure } from '../host/failure.ts';
import { parseGuest, type Guest } from './guest.ts';

/** All that the gate knows, as of the newest SetSnapshot. Never changed, only replaced. */
export interface Snapshot {
  /** By their addresses. */
  readonly guests: ReadonlyMap<string, Guest>;
  readonly upstreams: readonly Upstream[];
}

/** Before vmsand's first word: nobody is a guest, nobody gets an answer. */
export const EMPTY_SNAPSHOT: Snapshot = { guests: new Map(), upstreams: [] };

/**
 * @param before the snapshot that this one replaces; what did not change is taken from it
 * @throws Failure `bad_input` for an address that is no IPv4 address, a port
 *   that is none, a domain rule that cannot be read, and two VMs with one address
 */
export function parseSnapshot(
  request: Omit<SetSnapshotRequest, '$typeName'>,
  before: Snapshot = EMPTY_SNAPSHOT,
): Snapshot {
  const { vmPools, hostAddresses } = request;
  for (const address of hostAddresses) requireIpv4(address, 'a host address');
  const guests = new Map<string, Guest>();
  for (const guest of request.guests) {
    const { guestIp, vmId } = guest;
    requireIpv4(guestIp, `guest_ip of ${vmId}`);
    const other = guests.get(guestIp);
    if (other !== undefined) {
      throw new Failure('bad_input', `${other.vmId} and ${vmId} both have ${guestIp}`);
    }
    const world = { vmPools, hostAddresses };
    guests.set(guestIp, parseGuest(guest, world, before.guests.get(guestIp)));
  }
  return { guests, upstreams: request.upstreams.map(parseUpstream) };
}

const DNS_PORT = 53;

function parseUpstream(text: string): Upstream {
  const [address = '', port = String(DNS_PORT), rest] = text.split(':');
  const number = Number(port);
  const isPort = /^\d{1,5}$/.test(port) && number > 0 && number < 0x10000;
  if (rest !== undefined || !isPort || !ipaddr.IPv4.isValidFourPartDecimal(address)) {
    throw new Failure('bad_input', `upstream "${text}" is not an IPv4 address or address:port`);
  }
  return { address, port: number };
}

function requireIpv4(text: string, what: string): void {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return;
  throw new Failure('bad_input', `${what}: "${text}" is not an IPv4 address`);
}
