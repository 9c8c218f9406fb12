import type { Machine } from './machine.ts';
import * as world from './world.ts';

/**
 * Counts every packet that comes over the uplink, before anything in the
 * internet may drop it: proof that *nothing* reached an address, whether or
 * not a server was there to write it down. Neighbour discovery, by which the
 * two kernels find each other at any time, does not count; ARP is not IP.
 */
const TABLE = `table inet lab {
  set all4 { type ipv4_addr; flags dynamic; counter; }
  set all6 { type ipv6_addr; flags dynamic; counter; }
  set ports4 { type ipv4_addr . inet_proto . inet_service; flags dynamic; counter; }
  chain arrivals {
    type filter hook prerouting priority raw; policy accept;
    iifname != "${world.router.link}" return
    ip6 daddr ff02::/16 return
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } return
    update @all4 { ip daddr }
    update @all6 { ip6 daddr }
    ip protocol { tcp, udp } update @ports4 { ip daddr . ip protocol . th dport }
  }
}
`;

/** Packets that came for one address: in all, and by protocol and port where they have one. */
export interface Arrivals {
  address: string;
  protocol?: 'tcp' | 'udp';
  port?: number;
  packets: number;
}

export async function countArrivals(internet: Machine): Promise<void> {
  await internet.exec(['nft', '-f', '-'], { stdin: TABLE, check: true });
}

/** All counters as they are now. */
export async function readArrivals(internet: Machine): Promise<Arrivals[]> {
  const argv = ['nft', '-j', 'list', 'table', 'inet', 'lab'];
  const { stdout } = await internet.exec(argv, { check: true });
  const listed = JSON.parse(stdout) as { nftables: { set?: { elem?: Element[] } }[] };
  return listed.nftables.flatMap(({ set }) => set?.elem ?? []).map(arrivalsOf);
}

/** How much of `now` came after `before`. */
export function arrivedSince(now: readonly Arrivals[], before: readonly Arrivals[]): Arrivals[] {
  const old = new Map(before.map((arrivals) => [keyOf(arrivals), arrivals.packets]));
  return now
    .map((arrivals) => ({
      ...arrivals,
      packets: arrivals.packets - (old.get(keyOf(arrivals)) ?? 0),
    }))
    .filter(({ packets }) => packets > 0);
}

interface Element {
  elem: {
    val: string | { concat: [string, 'tcp' | 'udp', number] };
    counter: { packets: number };
  };
}

function arrivalsOf({ elem: { val, counter } }: Element): Arrivals {
  const { packets } = counter;
  if (typeof val === 'string') return { address: val, packets };
  const [address, protocol, port] = val.concat;
  return { address, protocol, port, packets };
}

function keyOf({ address, protocol, port }: Arrivals): string {
  return `${address} ${protocol} ${port}`;
}
