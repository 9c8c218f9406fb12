/**
 * Runs on the lab's host: makes and removes the networks of VMs beside so many
 * others, as vmsand does and as a script would, and prints Series as JSON. No
 * VM is run; the plan (JSON, the argument) says how often.
 */
import { SharedNetwork } from '../../src/daemon/shared-network.ts';
import { surroundingsOf } from '../../src/daemon/policy.ts';
import { closeFd } from '../../src/host/ffi.ts';
import { planHost, planVm, type VmNetwork } from '../../src/net/plan.ts';
import * as links from '../../src/net/vm-links.ts';
import { UNLIMITED } from '../../src/policy/bandwidth.ts';
import { readPolicy } from '../../src/policy/policy.ts';
import type { Series } from '../statistics.ts';
import { makeNaively, removeNaively } from './naive.ts';

export interface NetworksPlan {
  /** How many networks there are already, one after the other. */
  beside: number[];
  /** Networks made and removed in each way beside each of them. */
  turns: number;
}

const plan = JSON.parse(process.argv[2] ?? '') as NetworksPlan;
const pools = { subnetPool: '172.16.0.0/12', transitPool: '10.200.0.0/16' };
const host = planHost(pools);
const words = { base: 'custom', allowedDomains: ['*.github.com', 'npmjs.org'] } as const;
const { policy } = readPolicy(words, surroundingsOf(host));
let lastSlot = 0;
const nextNetwork = (): VmNetwork => {
  lastSlot += 1;
  return planVm(pools, lastSlot, `vm-${lastSlot.toString(16).padStart(8, '0')}`);
};
const fail = (error: unknown) => {
  throw error instanceof Error ? error : new Error(String(error));
};
const shared = new SharedNetwork({
  host,
  runDir: '/run',
  lent: { list: () => [], add: () => {}, clear: () => {} },
  upstreams: () => [],
  readyNetworks: 1,
  onGate: () => {},
  onUse: () => {},
  onRestart: () => {},
  onRefusals: () => {},
  onError: fail,
});

/** A network with nobody's VM in it: its TAP is held here. */
interface Made {
  network: VmNetwork;
  tapFd: number;
}

async function makeWhole(): Promise<Made> {
  const network = nextNetwork();
  await links.addAnchor(network);
  const tapFd = links.openGuardedTap(network, host, policy, 1);
  await shared.attach(network.hostLink, { network, policy, generation: 1, ports: [] });
  await links.connectLinks(network, UNLIMITED);
  return { network, tapFd };
}

/** What `create` waits for when a network was made ahead: the steps of `bringUpSteps` that are about it. */
async function takeReady(): Promise<Made> {
  const { id, network, tapFd } = shared.takeReady()!;
  await shared.attach(id, { network, policy, generation: 1, ports: [] });
  links.replaceRuleset(network, host, policy, 1);
  return { network, tapFd: tapFd! };
}

async function remove({ network, tapFd }: Made): Promise<void> {
  closeFd(tapFd);
  await links.removeHostLink(network);
  await links.removeAnchor(network);
  await shared.detach(network.hostLink);
}

async function timed<T>(samples: number[], work: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const result = await work();
  samples.push(performance.now() - start);
  return result;
}

const series: Series[] = [];
const samplesOf = (name: string, what: string): number[] => {
  const samples: number[] = [];
  series.push({ name, what, samples });
  return samples;
};

const made = [await makeWhole()];
for (const beside of plan.beside) {
  while (made.length < beside) made.push(await makeWhole());
  const count = `beside ${beside} network${beside === 1 ? '' : 's'}`;
  const of = (name: string, what: string) =>
    samplesOf(`networks/${name}/${beside}`, `${what}, ${count}`);
  const ready = of('ready', 'a network that was made ahead, taken, let in, under its policy');
  const whole = of('whole', 'a network from nothing, by vmsand');
  const naive = of('naive', 'the same by a script, a process for each command');
  const removed = of('removed', 'a network taken away by vmsand');
  const naively = of('removed-naively', 'a network taken away by a script');
  for (let turn = 0; turn < plan.turns; turn += 1) {
    await shared.makeAhead(() => {
      const network = nextNetwork();
      return { id: network.hostLink, network };
    });
    const one = await timed(ready, takeReady);
    await timed(removed, () => remove(one));
    await remove(await timed(whole, makeWhole));
    const network = nextNetwork();
    await timed(naive, () => makeNaively(network, host, policy));
    await timed(naively, () => removeNaively(network));
  }
}
for (const one of made) await remove(one);
process.stdout.write(JSON.stringify(series));
