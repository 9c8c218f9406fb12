import { createInterface } from 'node:readline';
import { isDeepStrictEqual } from 'node:util';
import { Failure } from '../../../src/host/failure.ts';
import { nftables } from '../../../src/host/nft.ts';
import { run } from '../../../src/host/run.ts';
import { setBandwidth } from '../../../src/net/bandwidth.ts';
import type { LentSysctl } from '../../../src/net/host-network.ts';
import { planHost, planVm, type VmNetwork } from '../../../src/net/plan.ts';
import { CAPS, renderVmCaps } from '../../../src/net/vm-caps.ts';
import * as links from '../../../src/net/vm-links.ts';
import { followDecisions } from '../../../src/daemon/decision-feed.ts';
import { followLeases } from '../../../src/daemon/lease-feed.ts';
import { keepLookingAround } from '../../../src/daemon/host-watch.ts';
import { keepRenewing } from '../../../src/daemon/lease-renewal.ts';
import { Leases } from '../../../src/daemon/leases.ts';
import { HeldPorts } from '../../../src/daemon/held-ports.ts';
import { forgetEntered } from '../../../src/net/entered-flows.ts';
import { parsePublishedPorts, type PublishedPort } from '../../../src/policy/published-ports.ts';
import { SharedNetwork } from '../../../src/daemon/shared-network.ts';
import { Traffic, watchedOf } from '../../../src/daemon/traffic.ts';
import { upstreamsOf } from '../../../src/daemon/upstreams.ts';
import { surroundingsOf } from '../../../src/daemon/policy.ts';
import { UNLIMITED } from '../../../src/policy/bandwidth.ts';
import { readPolicy, type Policy } from '../../../src/policy/policy.ts';
import { LeaseStore } from '../../../src/store/leases.ts';
import { TrafficStore } from '../../../src/store/traffic.ts';
import { WiredGuest } from './guest.ts';
import type { Command, Said } from './commands.ts';

/**
 * Runs on the lab's host and sets up VM networks with the daemon's own code,
 * each with a wired guest in the place of a VM. Takes commands on stdin, one
 * JSON object a line, and answers each with one line.
 */
const pools = { subnetPool: '172.16.0.0/16', transitPool: '10.200.0.0/16' };
const host = planHost(pools);
const lent: LentSysctl[] = [];
const leases = new Leases({
  store: new LeaseStore('/run/leases'),
  world: () => surroundingsOf(host),
  onError: (vm, error) => console.error(vm, error),
});
const traffic = new Traffic({
  store: new TrafficStore('/run/traffic'),
  running: (id) => watchedOf(leases, host, id),
  isKnown: () => true,
  onError: (error) => console.error(error),
});
const shared = new SharedNetwork({
  host,
  runDir: '/run',
  lent: {
    list: () => lent,
    add: (one) => void (lent.some(({ path }) => path === one.path) || lent.push(one)),
    clear: () => lent.splice(0),
  },
  upstreams: () => upstreamsOf([]),
  readyNetworks: 0,
  onGate: (gate) => {
    void followLeases(gate, leases, (error) => console.error(error));
    void followDecisions(gate, traffic, (error) => console.error(error));
  },
  onUse: () => {},
  onRestart: () => {},
  onError: (error) => console.error(error),
  onRefusals: () => {},
});
void keepLookingAround(shared, (error) => console.error(error));
keepRenewing(
  leases,
  (id, names) => shared.renew(id, names),
  (vm, error) => console.error(vm, error),
);
const held = new HeldPorts(host);
const ports = new Map<number, readonly PublishedPort[]>();
/** Slots of VMs without a netns. */
const bare = new Set<number>();
const guests = new Map<number, { network: VmNetwork; guest: WiredGuest }>();

async function obey(command: Command): Promise<unknown> {
  const { slot } = command;
  if (command.do === 'add' && !command.netns) bare.add(slot);
  const network = planVm(pools, slot, idOf(slot), !bare.has(slot));
  switch (command.do) {
    case 'add': {
      const policy = policyOf(command.policy);
      await links.addAnchor(network);
      const learned = leases.begin({ id: idOf(slot), policy, generation: 1 }, network);
      const tap = links.openGuardedTap(network, host, policy, 1, learned);
      traffic.begin(idOf(slot), { network: true });
      await links.connectLinks(network, command.bandwidth ?? UNLIMITED);
      await shared.attach(idOf(slot), { network, policy, generation: 1, ports: [] });
      guests.set(slot, { network, guest: await WiredGuest.connect(network, tap) });
      return network;
    }
    case 'policy': {
      const policy = policyOf(command.policy);
      const { generation } = command;
      const id = idOf(slot);
      const published = ports.get(slot) ?? [];
      const change = { policy, generation, ports: published };
      const connectionsClosed = await shared.change(id, change);
      traffic.look(id);
      const leasesDropped = leases.change({ id, policy, generation }, network, (learned, since) =>
        links.replaceRuleset(
          network,
          host,
          policy,
          generation,
          command.learned ?? learned,
          since,
          published,
        ),
      );
      traffic.begin(id);
      return { connectionsClosed, leasesDropped };
    }
    case 'publish': {
      // As src/daemon/network.ts does it.
      const { generation } = command;
      const id = idOf(slot);
      const policy = policyOf(command.policy);
      const before = ports.get(slot) ?? [];
      const wanted = parsePublishedPorts(command.ports);
      const gone = before.filter((port) => !wanted.some((one) => isDeepStrictEqual(one, port)));
      const after = held.hold(id, wanted, gone);
      await shared.change(id, { policy, generation, ports: after });
      links.setLoopback(network, after.length > 0);
      links.replaceRuleset(network, host, policy, generation, [], generation, after);
      await forgetEntered(network, gone);
      held.release(id, gone);
      ports.set(slot, after);
      return after;
    }
    case 'restore':
      await shared.restore();
      links.replaceConstantRules(network, host);
      return null;
    case 'bandwidth':
      await setBandwidth(network, command.bandwidth);
      return null;
    case 'holdings':
      return leases.holdings(idOf(slot));
    case 'traffic':
      return traffic.of(idOf(slot));
    case 'take':
      return leases.take(command.leases);
    case 'kill gate':
      process.kill(shared.gatePid, 'SIGKILL');
      return null;
    case 'learn':
      links.changeLearned(network, command.removed, command.added);
      return null;
    case 'caps':
      nftables(network.netnsPath, renderVmCaps(network, host, { ...CAPS, ...command.caps }));
      return null;
    case 'frames':
      for (const frame of command.frames) {
        await guestOf(slot).sendFrame(Buffer.from(frame, 'hex'));
      }
      return null;
    case 'adopt none':
      await shared.adopt(new Map());
      return null;
    case 'remove':
      leases.forget(idOf(slot));
      traffic.forget(idOf(slot));
      await shared.detach(idOf(slot));
      held.release(idOf(slot), 'all');
      ports.delete(slot);
      await links.removeHostLink(network);
      await links.removeAnchor(network);
      // Its name is free for the next one of this slot.
      await run(['ip', 'netns', 'delete', guestOf(slot).netns]);
      guests.delete(slot);
      return null;
  }
}

function policyOf(said: Said): Policy {
  const words = typeof said === 'string' ? { base: said } : said;
  return readPolicy(words, surroundingsOf(host)).policy;
}

function idOf(slot: number): string {
  return `vm-0000000${slot}`;
}

function guestOf(slot: number): WiredGuest {
  const entry = guests.get(slot);
  if (entry === undefined) throw new Failure('not_found', `no guest ${slot}`);
  return entry.guest;
}

process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  try {
    const result = await obey(JSON.parse(line) as Command);
    process.stdout.write(`${JSON.stringify({ result })}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ error: String(error) })}\n`);
  }
}
// Threads that wait for frames would keep an orderly exit waiting too.
process.kill(process.pid, 'SIGKILL');
