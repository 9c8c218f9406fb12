import ipaddr from 'ipaddr.js';
import type { Guest as Known } from '../dns/resolver.ts';
import type { Upstream } from '../dns/upstream.ts';
import type { SetSnapshotRequest } from '../gen/vmsan/v1/gate_pb.js';
import { Failure } from '../host/failure.ts';

/** A VM as the gate knows it. */
export interface Guest extends Known {
  /** Its policy's name, for reasons. */
  readonly policy: string;
  /** Whether its policy lets names be resolved. */
  readonly resolves: boolean;
}

/** All that the gate knows, as of the newest SetSnapshot. Never changed, only replaced. */
export interface Snapshot {
  readonly guests: ReadonlyMap<string, Guest>;
  readonly upstreams: readonly Upstream[];
}

/** Before vmsand's first word: nobody is a guest, nobody gets an answer. */
export const EMPTY_SNAPSHOT: Snapshot = { guests: new Map(), upstreams: [] };

/**
 * @throws Failure `bad_input` for an address that is no IPv4 address, a port
 *   that is none, and two VMs with one address
 */
export function parseSnapshot(request: Pick<SetSnapshotRequest, 'guests' | 'upstreams'>): Snapshot {
  const guests = new Map<string, Guest>();
  for (const { guestIp, vmId, policy, resolves } of request.guests) {
    if (!ipaddr.IPv4.isValidFourPartDecimal(guestIp)) {
      throw new Failure('bad_input', `guest_ip "${guestIp}" of ${vmId} is not an IPv4 address`);
    }
    const other = guests.get(guestIp);
    if (other !== undefined) {
      throw new Failure('bad_input', `${other.vmId} and ${vmId} both have ${guestIp}`);
    }
    guests.set(guestIp, { ip: guestIp, vmId, generation: 0, policy, resolves });
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
