import ipaddr from 'ipaddr.js';

/**
 * The address plan: one slot gives every name and address of a VM's network.
 * No other module knows how a netns, a link or a /30 is spelt.
 *
 *     guest eth0 172.16.S.2/30 ─ tap0 172.16.S.1 [netns vmsan-<id>]
 *         up0 10.200.x.y+1/31 ═ veth ═ <id> 10.200.x.y/31 [the host] ─ uplinks
 *
 * and without a netns (`--no-netns`):
 *
 *     guest eth0 172.16.S.2/30 ─ TAP <id> 172.16.S.1 [the host] ─ uplinks
 */

export interface Pools {
  /** CIDR; slot S is the /30 at the start of its S-th /24. */
  subnetPool: string;
  /** CIDR; its first /31 is the gate's, the following ones are the slots'. */
  transitPool: string;
}

/** Every name and address of one VM's network. Addresses are dotted quads. */
export interface VmNetwork {
  slot: number;
  /** As `ip netns` lists it; undefined when its network is in the host's namespace. */
  netns: string | undefined;
  netnsPath: string | undefined;
  /** Its nftables tables, of the families inet and netdev: of its rules, and of its caps. */
  table: string;
  capsTable: string;
  tap: string;
  /** The veth's end inside the netns; without one there is no veth, and this is not used. */
  uplink: string;
  /** The link on the host, named as the VM's id: the veth's end, or the TAP itself. */
  hostLink: string;
  guestMac: string;
  gatewayMac: string;
  guestIp: string;
  gatewayIp: string;
  /** The /30, as a CIDR. */
  subnet: string;
  transitHostIp: string;
  transitVmIp: string;
}

/** What all VMs of a host share. */
export interface HostNetwork {
  pools: Pools;
  /** An address of the host's that only the gate listens on. */
  gateIp: string;
  /** TCP and UDP port of the gate's resolver. */
  dnsPort: number;
  /** TCP ports of the gate's proxy, for HTTP and for TLS. */
  httpPort: number;
  tlsPort: number;
  /** The gate's user id. */
  gateUid: number;
}

export const NETNS_DIR = '/run/netns';
const NETNS_PREFIX = 'vmsan-';
/** In a netns of its own a VM's tables need no name of theirs; the host's table has the same. */
const TABLE = 'vmsan';
const CAPS_TABLE = 'vmsan_caps';
/** What every VM's id, and so its link on the host, begins with. */
export const VM_LINK_PREFIX = 'vm-';

/** Below 1024, so that no unprivileged process can bind them, and assigned to nobody by IANA. */
const DNS_PORT = 1009;
const HTTP_PORT = 1011;
const TLS_PORT = 1012;

/**
 * Ids that belong to nobody: systemd's "UIDs and GIDs" page lists
 * 1 879 048 192 to 2 147 483 647 as unused. The gate has the first of ours,
 * the QEMU of slot S the (1 + S)-th after it.
 */
const FIRST_UID = 1_900_000_000;

/** How many VMs the pools have room for. */
export function slotCount(pools: Pools): number {
  const subnets = 2 ** (24 - prefixOf(pools.subnetPool));
  const transits = 2 ** (31 - prefixOf(pools.transitPool)) - 1;
  return Math.min(subnets, transits);
}

/** The user id that the QEMU of `slot` runs as. */
export function vmUid(slot: number): number {
  return FIRST_UID + 1 + slot;
}

/** The slot whose QEMU runs as `uid`, or null when it is none of ours. */
export function slotOfUid(pools: Pools, uid: number): number | null {
  const slot = uid - vmUid(0);
  return slot >= 0 && slot < slotCount(pools) ? slot : null;
}

/** The user id for a machine that is booted only to see whether it boots. */
export function proofUid(): number {
  return FIRST_UID - 1;
}

/** @param netns whether it has a network namespace of its own */
export function planVm(pools: Pools, slot: number, id: string, netns = true): VmNetwork {
  const subnet = firstAddress(pools.subnetPool) + slot * 256;
  const transit = firstAddress(pools.transitPool) + (slot + 1) * 2;
  const place = netns
    ? {
        netns: NETNS_PREFIX + id,
        netnsPath: `${NETNS_DIR}/${NETNS_PREFIX}${id}`,
        table: TABLE,
        capsTable: CAPS_TABLE,
        tap: 'tap0',
      }
    : {
        netns: undefined,
        netnsPath: undefined,
        table: `${TABLE}-${id}`,
        capsTable: `${CAPS_TABLE}-${id}`,
        tap: id,
      };
  return {
    slot,
    ...place,
    uplink: 'up0',
    hostLink: id,
    guestMac: mac(0x02, slot),
    gatewayMac: mac(0x06, slot),
    guestIp: dotted(subnet + 2),
    gatewayIp: dotted(subnet + 1),
    subnet: `${dotted(subnet)}/30`,
    transitHostIp: dotted(transit),
    transitVmIp: dotted(transit + 1),
  };
}

export function planHost(pools: Pools): HostNetwork {
  return {
    pools,
    gateIp: dotted(firstAddress(pools.transitPool) + 1),
    dnsPort: DNS_PORT,
    httpPort: HTTP_PORT,
    tlsPort: TLS_PORT,
    gateUid: FIRST_UID,
  };
}

/** The VM that a netns belongs to, or null when it is none of ours. */
export function vmOfNetns(netns: string): string | null {
  return netns.startsWith(NETNS_PREFIX + VM_LINK_PREFIX) ? netns.slice(NETNS_PREFIX.length) : null;
}

/** The VM that a table of the host's namespace belongs to, or null when it is no VM's of ours. */
export function vmOfTable(table: string): string | null {
  return /^vmsan(?:_[a-z]+)?-(vm-[0-9a-f]{8})$/.exec(table)?.[1] ?? null;
}

/** Whether a table of the host's namespace is one of ours: the host's, or a VM's. */
export function isOurTable(table: string): boolean {
  return table === TABLE || vmOfTable(table) !== null;
}

/** The VM that a link of the host's belongs to, or null when it is none of ours. */
export function vmOfLink(link: string): string | null {
  return /^vm-[0-9a-f]{8}$/.test(link) ? link : null;
}

/** True when two CIDRs share an address. */
export function overlaps(a: string, b: string): boolean {
  const shorter = Math.min(prefixOf(a), prefixOf(b));
  const size = 2 ** (32 - shorter);
  return Math.floor(firstAddress(a) / size) === Math.floor(firstAddress(b) / size);
}

function prefixOf(cidr: string): number {
  return ipaddr.IPv4.parseCIDR(cidr)[1];
}

function firstAddress(cidr: string): number {
  const octets = ipaddr.IPv4.networkAddressFromCIDR(cidr).octets;
  return octets.reduce((sum, octet) => sum * 256 + octet, 0);
}

function dotted(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}

/** Locally administered (IEEE 802, bit 1 of the first octet), and readable: slot in the last two. */
function mac(first: number, slot: number): string {
  const octets = [first, 0x76, 0x6d, 0x00, slot >> 8, slot & 255];
  return octets.map((octet) => octet.toString(16).padStart(2, '0')).join(':');
}
