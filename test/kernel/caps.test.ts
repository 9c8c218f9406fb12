import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { PolicyWords } from '../../src/policy/policy.ts';
import { CAPS } from '../../src/net/vm-caps.ts';
import { SEEN, SEEN_SETS } from '../../src/net/vm-seen.ts';
import { killGroup } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { TREE } from '../lab/paths.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { WiredNetworks } from './wired/commands.ts';
import type { FlowCount } from './wired/many-flows.ts';
import type { Outcome, Probe } from './wired/probe.ts';
import { burstOfQueries, fetch, lookUp } from './wired/programs.ts';

const PAGE = `http://${world.website.address}/`;
const UNBOUNDED = { flows: 1_000_000, newFlowsPerSecond: 1_000_000, queriesPerSecond: 1_000_000 };
const STRICT = {
  allowedCidrs: ['203.0.113.0/24'],
  deniedCidrs: ['203.0.113.40/31'],
};
/** One for each rule of the policy that says no. */
const DENIED: Probe[] = [
  world.metadata.address,
  world.npm.address,
  world.github.address,
  world.host.address,
  '172.16.2.2',
  '10.200.0.1',
].flatMap((destination): Probe[] => [
  { destination, protocol: 'tcp', port: world.ports.http },
  { destination, protocol: 'udp', port: world.ports.echo },
  { destination, protocol: 'icmp' },
]);

const BY_NAME = { ...STRICT, allowedDomains: ['*.example.com', 'db.example.com:5432'] };
/** Under domain rules the web's ports go to the proxy, and what evades names is denied. */
const DENIED_BY_NAME: Probe[] = [
  ...DENIED.filter(({ destination, port }) => {
    const proxied = [world.github.address, world.host.address] as string[];
    return port !== world.ports.http || !proxied.includes(destination);
  }),
  { destination: world.github.address, protocol: 'tcp', port: 853 },
  { destination: world.github.address, protocol: 'udp', port: 443 },
  { destination: world.github.address, protocol: 'tcp', port: world.ports.lines },
];

describe('the caps of a VM', () => {
  let lab: Lab;
  let networks: WiredNetworks;
  let generation = 1;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    networks = await WiredNetworks.start(lab);
    await networks.add(1, 'allow-all');
    await networks.add(2, 'allow-all');
  });
  beforeEach(async () => {
    await setPolicy('allow-all');
    await inNetns('nft', 'delete', 'table', 'inet', 'vmsan_caps');
  });
  after(async () => {
    await networks?.[Symbol.asyncDispose]();
    await lab?.stop();
  });

  const setPolicy = (policy: 'allow-all' | PolicyWords) =>
    networks.do({ do: 'policy', slot: 1, policy, generation: ++generation });
  const setCaps = (caps: Partial<typeof CAPS>) => networks.do({ do: 'caps', slot: 1, caps });
  const inNetns = (...argv: string[]) =>
    lab.exec(['ip', 'netns', 'exec', 'vmsan-vm-00000001', ...argv], { check: true });

  /** Flows of the first guest to the website's echo server. */
  async function manyFlows(count: number) {
    const script = `${TREE}/test/kernel/wired/many-flows.ts`;
    const argv = [script, world.website.address, String(world.ports.echo), String(count)];
    const child = networks.spawn(1, [process.execPath, ...argv]);
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    const line = async () => String((await lines.next()).value);
    return {
      opened: JSON.parse(await line()) as FlowCount,
      /** How many of them answer. */
      ask: async (word = 'hello') => {
        child.stdin!.write(`${word}\n`);
        return Number(await line());
      },
      [Symbol.dispose]: () => killGroup(child),
    };
  }

  /** A busy lab may take its time. */
  const reaches = (slot: number, why = `guest ${slot} reaches the internet`) =>
    until(why, async () => (await fetch(networks, slot, PAGE)).exitCode === 0, {
      deadlineMs: 60_000,
    });

  async function probe(probes: Probe[]): Promise<Outcome[]> {
    const argv = [process.execPath, `${TREE}/test/kernel/wired/probe.ts`, JSON.stringify(probes)];
    const { stdout, stderr } = await networks.exec(1, argv);
    assert.notEqual(stdout, '', stderr);
    return JSON.parse(stdout) as Outcome[];
  }

  async function everyDenyHolds(denied = DENIED): Promise<void> {
    const mark = await lab.mark();
    assert.deepEqual(
      await probe(denied),
      denied.map(() => 'refused'),
    );
    const to = new Set(denied.map(({ destination }) => destination));
    const arrived = await lab.arrivals(mark);
    assert.deepEqual(
      arrived.filter(({ address }) => to.has(address)),
      [],
    );
  }

  test('new flows have a rate; what is over it is dropped, and another VM is untouched', async () => {
    await setCaps({ newFlowsPerSecond: 1 });
    const mark = await lab.mark();
    const script = `const socket = require('node:dgram').createSocket('udp4');
      for (let port = 20000; port < 20200; port++) socket.send('x', port, '${world.github.address}');`;
    const child = networks.spawn(1, [process.execPath, '-e', `${script} console.log('sent')`]);
    const arrived = async () =>
      (await lab.arrivals(mark)).filter(
        ({ address, protocol }) => address === world.github.address && protocol === 'udp',
      ).length;
    try {
      await once(child.stdout!, 'data');
      await until('some of it arrives', async () => (await arrived()) > 0);
      await reaches(2);
      const count = await arrived();
      assert.ok(count < 50, `${count} of 200 arrived`);
    } finally {
      killGroup(child);
    }
  });

  test('queries to the gate have a rate, and another VM’s are answered', async () => {
    await setCaps({ queriesPerSecond: 1 });
    const answers = await burstOfQueries(networks, 1, '172.16.1.1');
    assert.ok(answers >= 1 && answers < 50, `${answers} of 200 answered`);
    assert.match(
      await lookUp(networks, 2, '172.16.2.1', world.website.name),
      new RegExp(`\\sA\\s${world.website.address}`),
    );
  });

  test('every deny is one with every cap reached, at once and for old flows', async () => {
    await setCaps(UNBOUNDED);
    using flows = await manyFlows(3);
    await setCaps({ flows: 0, newFlowsPerSecond: 1, queriesPerSecond: 1 });
    await inNetns('nft', 'flush', 'set', 'inet', 'vmsan_caps', 'open_flows');
    assert.equal((await fetch(networks, 1, PAGE)).exitCode, 7);
    await setPolicy(STRICT);
    await everyDenyHolds();
    assert.equal(await flows.ask(), 3, 'what is still allowed goes on');
    await setPolicy(BY_NAME);
    await everyDenyHolds(DENIED_BY_NAME);
    assert.equal(await flows.ask(), 3, 'by address');
    await networks.do({ do: 'policy', slot: 1, policy: 'deny-all', generation: ++generation });
    await everyDenyHolds();
    assert.equal(await flows.ask(), 0, 'what is not has ended');
  });

  test('every deny is one with the set of the caps full of something else', async () => {
    await setCaps({ ...UNBOUNDED, flows: 0 });
    assert.equal((await fetch(networks, 1, PAGE)).exitCode, 7);
    const set = ['inet', 'vmsan_caps', 'open_flows'];
    await inNetns('nft', 'flush', 'set', ...set);
    await inNetns('nft', 'add', 'element', ...set, '{ 198.51.100.200 ct count over 1 }');
    // The kernel skips the rest of a rule whose set is full: the cap is not one now.
    await reaches(1);
    await setPolicy(STRICT);
    await everyDenyHolds();
    await reaches(1);
    await setPolicy(BY_NAME);
    await everyDenyHolds(DENIED_BY_NAME);
  });

  test('every deny is one with the sets of what was seen full', async () => {
    await setCaps(UNBOUNDED);
    /** With destinations that no probe goes to. */
    const fill = async () => {
      const elements = (count: number, end: string) =>
        Array.from({ length: count }, (_, n) => `198.18.${n >> 8}.${n & 255} . ${end}`).join(', ');
      const commands = Object.values(SEEN_SETS).flatMap(([ports, others]) => [
        `add element inet vmsan ${ports} { ${elements(SEEN.ports, 'tcp . 1')} }`,
        `add element inet vmsan ${others} { ${elements(SEEN.others, 'icmp')} }`,
      ]);
      const argv = ['ip', 'netns', 'exec', 'vmsan-vm-00000001', 'nft', '-f', '-'];
      await lab.exec(argv, { stdin: commands.join('\n'), check: true });
    };
    for (const [policy, denied] of [
      [STRICT, DENIED],
      [BY_NAME, DENIED_BY_NAME],
    ] as const) {
      await setPolicy(policy);
      await fill();
      await everyDenyHolds([...denied]);
      await reaches(1);
      const full = (await inNetns('nft', 'list', 'set', 'inet', 'vmsan', 'refused')).stdout;
      assert.equal(full.split('198.18.').length - 1, SEEN.ports, 'nothing else had room');
      assert.doesNotMatch(full, /203\.0\.113/);
    }
  });

  test('the host forgets a flow soon after its end, and a question of the gate’s', async () => {
    await setCaps(UNBOUNDED);
    await reaches(1);
    await lookUp(networks, 1, '172.16.1.1', world.website.name);
    await lookUp(networks, 1, '172.16.1.1', world.names.big, ['TXT', '+tcp']);
    const look = ['cat', '/proc/net/nf_conntrack'];
    const soon = (text: string, flow: RegExp) => {
      const found = text.split('\n').filter((line) => flow.test(line));
      assert.notEqual(found.length, 0, `${flow} in ${text}`);
      for (const line of found) assert.ok(Number(line.split(/ +/)[4]) <= 10, line);
    };
    const ofHost = (await lab.exec(look, { check: true })).stdout;
    soon((await inNetns(...look)).stdout, / TIME_WAIT src=172\.16\.1\.2 /);
    soon(ofHost, / TIME_WAIT src=172\.16\.1\.2 /);
    soon(ofHost, / udp .*src=\S+ dst=192\.0\.2\.53 /);
    soon(ofHost, / TIME_WAIT src=\S+ dst=192\.0\.2\.53 /);
  });

  // Last: its end is a flood of its own.
  test('as they are: a VM has its flows, and one more is refused; the first go on', async () => {
    await setCaps({ newFlowsPerSecond: UNBOUNDED.newFlowsPerSecond });
    using flows = await manyFlows(CAPS.flows + 5);
    assert.deepEqual(flows.opened, { open: CAPS.flows, refused: 5 });
    assert.equal((await fetch(networks, 1, PAGE)).exitCode, 7, 'refused, at once');
    await reaches(2, 'another VM is untouched');
    await setPolicy('allow-all');
    assert.equal((await fetch(networks, 1, PAGE)).exitCode, 7, 'after a change of policy too');
    assert.equal(await flows.ask(), CAPS.flows);
    assert.equal(await flows.ask('close one'), CAPS.flows - 1);
    await reaches(1, 'there is room for one');
  });
});
