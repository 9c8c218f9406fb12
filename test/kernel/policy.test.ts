import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { decide, type VmSurroundings } from '../../src/policy/decide.ts';
import type { Learned } from '../../src/net/learned.ts';
import { readPolicy, type PolicyWords } from '../../src/policy/policy.ts';
import { killGroup } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { TREE } from '../lab/paths.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { WiredNetworks } from './wired/commands.ts';
import type { Outcome, Probe } from './wired/probe.ts';

const SLOT = 3;
const SEED = Number(process.env['SEED'] ?? 20_261_124);
const WORLD: VmSurroundings = {
  vmPools: ['172.16.0.0/16', '10.200.0.0/16'],
  hostAddresses: [world.host.address],
  gateway: '172.16.3.1',
};
const DESTINATIONS = [...world.internetAddresses, world.host.address, '172.16.4.2', '10.200.0.1'];
const LISTABLE = [
  'private',
  '0.0.0.0/0',
  '0.0.0.0/1',
  '192.0.2.0/24',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '203.0.113.40/31',
  '10.0.0.0/8',
  '10.20.0.0/16',
  '100.64.0.0/10',
  '192.168.77.10',
  world.host.address,
  world.metadata.address,
  world.azureMetadata.address,
];
const NAMES = [
  'allowed.example.com',
  '*.github.com',
  'www.example.org:443',
  'npmjs.org:80',
  'db.example.com:5432',
  'all.example.com:*',
];
/** What names hold: ports that go by address, and others, which must not matter. */
const LEARNED: Learned[] = [
  { address: world.shared.address, ...ports('tcp', 5432) },
  { address: world.website.address, ...ports('tcp', 1, 6000) },
  { address: world.website.address, ...ports('udp', 1, 65_535) },
  { address: world.npm.address, ...ports('udp', 7) },
  { address: world.lan.address, ...ports('tcp', 5000, 6000) },
  { address: world.host.address, ...ports('tcp', 1, 65_535) },
  { address: world.metadata.address, ...ports('tcp', 1, 65_535) },
];
/** The policies that a walk goes between. */
const NAMED: PolicyWords[] = [
  { base: 'allow-all' },
  { base: 'deny-all' },
  { deniedCidrs: ['private'] },
  { deniedCidrs: ['0.0.0.0/0'] },
  { base: 'deny-all', deniedCidrs: ['10.0.0.0/8'] },
  { allowedCidrs: ['198.51.100.0/24'] },
  { allowedCidrs: ['0.0.0.0/0'] },
  { allowedCidrs: ['private'], deniedCidrs: ['10.20.0.0/16'] },
  { allowedCidrs: [world.metadata.address, world.host.address] },
  { allowedCidrs: ['203.0.113.0/24'], deniedCidrs: ['203.0.113.40/31'] },
  { allowedDomains: ['allowed.example.com', '*.github.com:22'] },
  { allowedDomains: ['db.example.com:5432'], allowedCidrs: ['private'] },
];

for (const netns of [true, false])
  describe(`the kernel and decide() agree, ${netns ? 'in a netns' : 'without one'}`, () => {
    let lab: Lab;
    let networks: WiredNetworks;
    let generation = 1;
    const random = mulberry32(SEED);
    const rounds = netns ? 25 : 8;

    before(async () => {
      lab = await Lab.start();
      await lab.assertNoWayOut();
      // A netns of its own has it switched off; this host's administrator did: each "no" is said.
      if (!netns) await lab.exec(['sysctl', '-w', 'net.ipv4.icmp_ratelimit=0'], { check: true });
      networks = await WiredNetworks.start(lab);
      await networks.add(SLOT, 'allow-all', { netns });
    });
    after(async () => {
      await networks?.[Symbol.asyncDispose]();
      await lab?.stop();
    });

    const set = (policy: PolicyWords, learned: Learned[] = []) =>
      networks.do({ do: 'policy', slot: SLOT, policy, generation: ++generation, learned });

    async function agree(words: PolicyWords, probes: Probe[], held: Learned[] = []): Promise<void> {
      const mark = await lab.mark();
      const { stdout, stderr } = await networks.exec(SLOT, probing(probes));
      assert.notEqual(stdout, '', stderr);
      const outcomes = JSON.parse(stdout) as Outcome[];
      const { policy } = readPolicy(words, WORLD);
      for (const [index, probe] of probes.entries()) {
        const learned: VmSurroundings['learned'] = (address, protocol, port) =>
          held.some(
            (one) =>
              one.address === address &&
              one.protocol === protocol &&
              one.first <= port &&
              port <= one.last,
          )
            ? 'a name'
            : undefined;
        const { verdict, reason } = decide(policy, probe, { ...WORLD, learned });
        const { destination, port } = probe;
        const said = `${JSON.stringify({ words, probe, held, SEED })}: ${reason}`;
        const outcome = outcomes[index];
        // The kernel bounds its own ICMP for all of the machine (icmp_msgs_per_sec): a "no" may be lost.
        const silent = probe.protocol === 'icmp' && verdict === 'deny' && outcome === 'silent';
        if (!silent) assert.equal(outcome, verdict === 'deny' ? 'refused' : 'answered', said);
        if (verdict === 'allow' || port === undefined || probe.protocol === 'icmp') continue;
        const { protocol } = probe;
        const arrived = await lab.packetsTo(destination, { protocol, port, since: mark });
        assert.equal(arrived, 0, `something of it arrived: ${said}`);
      }
    }

    test('on random policies and random packets', async () => {
      await using listener = await lab.listenOnHost(world.ports.http);
      assert.ok(listener);
      for (let round = 0; round < rounds; round++) {
        const words = randomPolicy();
        await set(words);
        await agree(words, Array.from({ length: 16 }, randomProbe));
      }
    });

    test('on random rules of names, and what names hold', async () => {
      await using listener = await lab.listenOnHost(world.ports.http);
      assert.ok(listener);
      for (let round = 0; round < rounds; round++) {
        const names = Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(NAMES));
        const words = { ...randomPolicy(), allowedDomains: names };
        const held = LEARNED.filter(() => random() < 0.5);
        const later = LEARNED.filter(() => random() < 0.5);
        // In force with the change, or after it, in the place of others.
        await set(words, held);
        await agree(words, Array.from({ length: 12 }, randomProbe), held);
        await networks.do({ do: 'learn', slot: SLOT, removed: LEARNED, added: later });
        await agree(words, Array.from({ length: 12 }, randomProbe), later);
      }
    });

    test('what a name holds is forgotten when its time is up', async () => {
      const words = { allowedDomains: ['db.example.com:5432'] };
      const address = world.shared.address;
      await set(words, [{ address, ...ports('tcp', 5432), milliseconds: 500 }]);
      const probe: Probe = { destination: address, protocol: 'tcp', port: world.ports.lines };
      await until('it is forgotten', async () => {
        const { stdout } = await networks.exec(SLOT, probing([probe]));
        return (JSON.parse(stdout) as Outcome[])[0] === 'refused';
      });
    });

    test('what would hide names is refused, though a name holds the address', async () => {
      const { address: destination } = world.website;
      const probes: Probe[] = [
        { destination, protocol: 'tcp', port: 853 },
        { destination, protocol: 'udp', port: 853 },
        { destination, protocol: 'udp', port: 443 },
      ];
      const words = { allowedDomains: ['all.example.com:*'] };
      await set(words, LEARNED);
      await agree(words, probes, LEARNED);
      const { stdout } = await networks.exec(SLOT, probing(probes));
      assert.deepEqual(JSON.parse(stdout), ['refused', 'refused', 'refused']);
    });

    test('what a name holds opens neither the web’s ports nor port 53', async () => {
      const { address: destination } = world.website;
      const probes: Probe[] = [80, 443].map((port) => ({ destination, protocol: 'tcp', port }));
      const words = { allowedDomains: ['db.example.com:5432'] };
      await set(words, LEARNED);
      await agree(words, probes, LEARNED);
      const { stdout } = await networks.exec(SLOT, probing(probes));
      assert.deepEqual(JSON.parse(stdout), ['refused', 'refused']);
      const resolver: Probe = {
        destination: world.otherResolver.address,
        protocol: 'tcp',
        port: 53,
      };
      const held = [{ address: resolver.destination, ...ports('tcp', 1, 65_535) }];
      await set(words, held);
      await agree(words, [resolver], held);
    });

    test('a public resolver is refused at port 443 alone, unless a rule names one', async () => {
      const destination = '8.8.8.8';
      const probes: Probe[] = [80, 443].map((port) => ({ destination, protocol: 'tcp', port }));
      for (const [allowedDomains, outcomes] of [
        [['allowed.example.com'], ['answered', 'refused']],
        [
          ['*.example.com', 'dns.google'],
          ['answered', 'answered'],
        ],
      ] as const) {
        await set({ allowedDomains });
        const { stdout } = await networks.exec(SLOT, probing(probes));
        assert.deepEqual(JSON.parse(stdout), outcomes);
        await agree({ allowedDomains }, probes);
      }
    });

    test('on a random walk between named policies, whose rules are the same each time', async () => {
      await using listener = await lab.listenOnHost(world.ports.http);
      assert.ok(listener);
      const seen = new Map<PolicyWords, string>();
      for (let step = 0; step < (netns ? 40 : 16); step++) {
        const words = pick(NAMED);
        await set(words);
        const text = await ruleset();
        assert.equal(text, seen.get(words) ?? text, JSON.stringify({ words, SEED, step }));
        seen.set(words, text);
        if (step % 4 === 0) await agree(words, Array.from({ length: 8 }, randomProbe));
      }
    });

    test('a kept flow in which only the peer talks does not notice; a forbidden one is silent', async () => {
      await set({ base: 'allow-all' });
      const url = `http://${world.website.address}/drip`;
      const flow = networks.spawn(SLOT, ['curl', '-sSN', '-m', '120', url]);
      let received = 0;
      flow.stdout!.on('data', (chunk: Buffer) => (received += chunk.length));
      const grows = async (why: string) => {
        const seen = received;
        await until(`the stream goes on ${why}`, () => received > seen);
      };
      try {
        await grows('at first');
        for (const words of [
          { deniedCidrs: ['private'] },
          { allowedCidrs: ['203.0.113.0/24'] },
          { base: 'allow-all' },
          { allowedCidrs: ['203.0.113.0/24', '10.0.0.0/8'], deniedCidrs: ['203.0.113.40/31'] },
        ]) {
          await set(words);
          await grows(`under ${JSON.stringify(words)}`);
        }
        await set({ deniedCidrs: ['203.0.113.0/24'] });
        await isSilent(() => received);
      } finally {
        killGroup(flow);
      }
    });

    test('a name that holds all other ports of an address keeps no direct flow to its port 80', async () => {
      await set({ base: 'allow-all' });
      const url = `http://${world.website.address}/drip`;
      const flow = networks.spawn(SLOT, ['curl', '-sSN', '-m', '120', url]);
      let received = 0;
      flow.stdout!.on('data', (chunk: Buffer) => (received += chunk.length));
      try {
        await until('it drips', () => received > 0);
        // The guest's own port is among those: only the server's may count.
        const held = [ports('tcp', 1, 52), ports('tcp', 54, 79), ports('tcp', 854, 65_535)];
        const { address } = world.website;
        await set(
          { allowedDomains: ['all.example.com:*'] },
          held.map((each) => ({ address, ...each })),
        );
        await isSilent(() => received);
      } finally {
        killGroup(flow);
      }
    });

    /** The peer talks every 50 ms; what it said before may still be on its way at first. */
    async function isSilent(received: () => number): Promise<void> {
      const roundTrip = () => networks.exec(SLOT, ['ping', '-c4', '-i0.1', '-W1', '172.16.3.1']);
      await roundTrip();
      const heard = received();
      for (let i = 0; i < 3; i++) await roundTrip();
      assert.equal(received(), heard);
    }

    test('an old direct flow to somebody’s resolver ends when queries go to ours', async () => {
      await set({ base: 'allow-all' });
      const server = world.otherResolver.address;
      const script = `const { connect } = require('node:net');
      const socket = connect(53, '${server}', () => console.log('open'));
      const query = Buffer.from('0021abcd01000001000000000000037777770765786d61706c65036f72670000010001', 'hex');
      socket.on('data', () => console.log('answer'));
      socket.on('error', () => console.log('reset'));
      process.stdin.on('data', () => socket.write(query));`;
      const client = networks.spawn(SLOT, [process.execPath, '-e', script]);
      let said = '';
      client.stdout!.on('data', (chunk: Buffer) => (said += String(chunk)));
      try {
        await until('the flow is open', () => said.includes('open'));
        client.stdin!.write('ask\n');
        await until('it is answered', () => said.includes('answer'));
        await set({ deniedCidrs: ['private'] });
        const mark = await lab.mark();
        client.stdin!.write('ask\n');
        await until('it is reset', () => said.includes('reset'));
        assert.equal(await lab.packetsTo(server, { protocol: 'tcp', port: 53, since: mark }), 0);
      } finally {
        killGroup(client);
      }
    });

    async function ruleset(): Promise<string> {
      const argv = netns
        ? ['ip', 'netns', 'exec', 'vmsan-vm-00000003', 'nft', '-s', 'list', 'ruleset']
        : ['nft', '-s', 'list', 'table', 'inet', 'vmsan-vm-00000003'];
      const { stdout } = await lab.exec(argv, { check: true });
      return (
        stdout
          .replaceAll(/ct mark (set )?0x[0-9a-f]+(?:-0x[0-9a-f]+)?/g, 'ct mark $1G')
          .replaceAll(/ct mark & 0x0fff0000 (?:== )?0x\w+(?:-0x\w+)?/g, 'ct mark G')
          .replaceAll(/ct mark & 0xf\w+ \| 0x\w+/g, 'ct mark M')
          .replaceAll(/packets \d+ bytes \d+/g, 'N')
          // The caps forget whose flows have all ended.
          .replaceAll(/^\s*elements = .* ct count over .*\n/gm, '')
      );
    }

    function pick<T>(from: readonly T[]): T {
      return from[Math.floor(random() * from.length)]!;
    }

    function randomPolicy(): PolicyWords {
      const list = () => Array.from({ length: Math.floor(random() * 4) }, () => pick(LISTABLE));
      const base = pick(['', 'allow-all', 'deny-all']);
      return { base, allowedCidrs: list(), deniedCidrs: list() };
    }

    function randomProbe(): Probe {
      const destination = pick(DESTINATIONS);
      // What listens on the host is one port of TCP.
      if (destination === world.host.address || random() < 0.5) {
        return { destination, protocol: 'tcp', port: world.ports.http };
      }
      const { https, echo, lines, dns } = world.ports;

      const resolvers: string[] = [world.resolver.address, world.otherResolver.address];
      if (resolvers.includes(destination)) return { destination, protocol: 'tcp', port: dns };
      const tcp = { destination, protocol: 'tcp', port: pick([https, echo, lines]) } as const;
      const udp = { destination, protocol: 'udp', port: echo } as const;
      return pick<Probe>([tcp, tcp, udp, { destination, protocol: 'icmp' }]);
    }
  });

function ports(protocol: 'tcp' | 'udp', first: number, last = first) {
  return { protocol, first, last, milliseconds: 60_000 };
}

function probing(probes: Probe[]): string[] {
  return [process.execPath, `${TREE}/test/kernel/wired/probe.ts`, JSON.stringify(probes)];
}

/** A small seeded generator, uniform in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
