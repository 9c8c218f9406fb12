import { readlinkSync } from 'node:fs';
import { run } from '../../src/host/run.ts';
import type { Machine } from './machine.ts';
import * as world from './world.ts';

/** An interface, as `ip -j -d link` prints it. */
interface Link {
  ifname: string;
  ifindex: number;
  /** The peer's index, in the namespace the peer is in. */
  link_index?: number;
  linkinfo?: { info_kind?: string };
}

interface Route {
  dst: string;
  dev?: string;
}

/** Joins the two machines by a veth pair that never is in the machine's own netns. */
export async function joinMachines(host: Machine, internet: Machine): Promise<void> {
  const [hostIndex, internetIndex] = [randomIndex(), randomIndex()];
  await run(
    `ip link add ${world.host.link} index ${hostIndex} netns ${host.pid} type veth
     peer name ${world.router.link} index ${internetIndex} netns ${internet.pid}`.split(/\s+/),
  );
  await Promise.all([
    host.exec(['ip', '-batch', '-'], { stdin: hostBatch(), check: true }),
    internet.exec(['ip', '-batch', '-'], { stdin: internetBatch(), check: true }),
    internet.exec(['sh', '-c', 'echo 1 >/proc/sys/net/ipv4/ip_forward'], { check: true }),
  ]);
}

function hostBatch(): string {
  const { link, address, prefix, address6 } = world.host;
  return `link set lo up
address add ${address}/${prefix} dev ${link}
address add ${address6}/64 dev ${link} nodad
link set ${link} up
route add default via ${world.router.address}
route add ${world.metadata.address} via ${world.router.address}
route add ::/0 via ${world.router.address6}
`;
}

function internetBatch(): string {
  const { link, address, address6 } = world.router;
  return `link set lo up
address add ${address}/${world.host.prefix} dev ${link}
address add ${address6}/64 dev ${link} nodad
${world.internetAddresses.map((owned) => `address add ${owned}/32 dev lo`).join('\n')}
address add ${world.website.address6}/128 dev lo nodad
link set ${link} up
`;
}

/**
 * Proves that nothing leads out of the lab: each machine has the loopback and
 * one end of the pair that joins the two, and routes over nothing else.
 * To be asked before VMs, with links of their own, are there.
 * @throws Error that names the link or route that leads elsewhere
 */
export async function assertNoWayOut(host: Machine, internet: Machine): Promise<void> {
  const machines = { host, internet };
  for (const [name, machine] of Object.entries(machines)) {
    if (readlinkSync(`/proc/${machine.pid}/ns/net`) === readlinkSync('/proc/self/ns/net')) {
      throw new Error(`the lab's ${name} is in the machine's own netns`);
    }
  }
  const [ours, hostLinks, internetLinks] = await Promise.all([
    linksOf((argv) => run(argv)),
    linksOf((argv) => host.exec(argv, { check: true })),
    linksOf((argv) => internet.exec(argv, { check: true })),
  ]);
  const a = onlyUplink('host', world.host.link, hostLinks);
  const b = onlyUplink('internet', world.router.link, internetLinks);
  if (a.link_index !== b.ifindex || b.link_index !== a.ifindex) {
    throw new Error("the lab's two links are not each other's peer");
  }
  // Indexes are drawn at random from 2^24: an equal one out here is the pair's third end.
  const stray = ours.find(({ link_index: i }) => i === a.ifindex || i === b.ifindex);
  if (stray !== undefined)
    throw new Error(`link ${stray.ifname} leads from the machine into the lab`);

  for (const [name, machine] of Object.entries(machines)) {
    for (const family of ['-4', '-6']) {
      const argv = ['ip', '-j', family, 'route', 'show', 'table', 'all'];
      const { stdout } = await machine.exec(argv, { check: true });
      const out = (JSON.parse(stdout || '[]') as Route[]).find(
        ({ dev }) => dev !== undefined && dev !== 'lo' && dev !== world.host.link,
      );
      if (out !== undefined) throw new Error(`the lab's ${name} routes ${out.dst} over ${out.dev}`);
    }
  }
}

function onlyUplink(machine: string, name: string, links: readonly Link[]): Link {
  for (const link of links) {
    const known =
      link.ifname === 'lo' || (link.ifname === name && link.linkinfo?.info_kind === 'veth');
    if (!known) throw new Error(`the lab's ${machine} has a link of unknown kind: ${link.ifname}`);
  }
  const uplink = links.find(({ ifname }) => ifname === name);
  if (uplink === undefined) throw new Error(`the lab's ${machine} has no ${name}`);
  return uplink;
}

async function linksOf(
  exec: (argv: string[]) => Promise<{ stdout: string }>,
): Promise<readonly Link[]> {
  const { stdout } = await exec(['ip', '-j', '-d', 'link']);
  return JSON.parse(stdout) as Link[];
}

function randomIndex(): number {
  return 1_000_000 + Math.floor(Math.random() * 2 ** 24);
}
