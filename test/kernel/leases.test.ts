import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { WantedLease } from '../../src/daemon/leases.ts';
import { Lab } from '../lab/lab.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { WiredNetworks, type Said } from './wired/commands.ts';
import { converse } from './wired/conversation.ts';
import { lookUp } from './wired/programs.ts';

const SLOT = 4;
const GATEWAY = '172.16.4.1';
const { lines, echo } = world.ports;
const { address } = world.allowed;
const ONLY = { allowedDomains: [`${world.allowed.name}:${lines}`] };

interface Held {
  name: string;
  address: string;
  expiresAtMs: number;
}

describe('names on other ports, by lease', () => {
  let lab: Lab;
  let networks: WiredNetworks;
  let generation = 1;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    networks = await WiredNetworks.start(lab);
    await networks.add(SLOT, ONLY);
  });
  after(async () => {
    await networks?.[Symbol.asyncDispose]();
    await lab?.stop();
  });

  const setPolicy = async (policy: Said) =>
    (await networks.do({ do: 'policy', slot: SLOT, policy, generation: ++generation })) as {
      leasesDropped: number;
    };
  const holdings = async () => (await networks.do({ do: 'holdings', slot: SLOT })) as Held[];
  const resolve = (name: string) => lookUp(networks, SLOT, GATEWAY, name);
  const refuses = (port: number) =>
    assert.rejects(converse(networks, SLOT, address, port), /ended/);
  const take = (lease: Partial<WantedLease>) => {
    const known = { vmId: 'vm-00000004', generation, name: world.allowed.name };
    const whole = { ...known, addresses: [address], ttlSeconds: 60, ...lease };
    return networks.do({ do: 'take', slot: SLOT, leases: [whole] });
  };

  test('the address of an allowed name is reached once it was looked up, at its port alone', async () => {
    const mark = await lab.mark();
    await refuses(lines);
    assert.equal(await lab.packetsTo(address, { protocol: 'tcp', port: lines, since: mark }), 0);
    assert.match(await resolve(world.denied.name), /status: REFUSED/);
    await refuses(lines);
    // The first answer may come before anybody takes leases: then it says so.
    await until('it is resolved', async () =>
      new RegExp(`\\sA\\s${address}`).test(await resolve(world.allowed.name)),
    );
    using conversation = await converse(networks, SLOT, address, lines);
    await conversation.say('hello');
    await refuses(echo);
    const held = await holdings();
    assert.deepEqual(
      held.map(({ name, address: at }) => `${name} ${at}`),
      [`${world.allowed.name} ${address}`],
    );
  });

  test('a change keeps what still-allowed names hold, and drops the rest with its flows', async () => {
    using kept = await converse(networks, SLOT, address, lines);
    const wider = { allowedDomains: [...ONLY.allowedDomains, 'other.example.com'] };
    assert.equal((await setPolicy(wider)).leasesDropped, 0);
    await kept.say('still here');
    using another = await converse(networks, SLOT, address, lines);
    await another.say('without another lookup');
    const { leasesDropped } = await setPolicy({ allowedDomains: [`*.example.org:${lines}`] });
    assert.equal(leasesDropped, 1);
    await kept.expectEnd();
    await refuses(lines);
    await setPolicy(ONLY);
    await refuses(lines);
    assert.deepEqual(await holdings(), []);
  });

  test('a flow that outlived its lease outlives changes that only widen, and no other', async () => {
    const learned = [
      { address, protocol: 'tcp' as const, first: lines, last: lines, milliseconds: 1500 },
    ];
    const policy = { allowedDomains: [...ONLY.allowedDomains, 'other.example.com'] };
    await networks.do({ do: 'policy', slot: SLOT, policy, generation: ++generation, learned });
    using kept = await converse(networks, SLOT, address, lines);
    await until('the lease is over', () =>
      refuses(lines).then(
        () => true,
        () => false,
      ),
    );
    await kept.say('by its mark');
    for (const more of ['*.example.com', '*.github.com']) {
      policy.allowedDomains.push(more);
      await setPolicy(policy);
      await kept.say(`and with ${more}`);
      await refuses(lines);
    }
    await setPolicy(ONLY);
    await kept.expectEnd();
  });

  test('the gate is believed nothing that the policy does not allow', async () => {
    const wide = { allowedDomains: [`*.example.com:${lines}`, 'dns.example.com', '*.google.com'] };
    await setPolicy(wide);
    const wrong: Partial<WantedLease>[] = [
      { generation: generation - 1 },
      { vmId: 'vm-00000009' },
      { name: 'example.com' },
      { name: 'Allowed.example.com' },
      { name: 'www.example.org' },
      { name: 'dns.google.com' },
      { addresses: [world.lan.address] },
      { addresses: [world.metadata.address] },
      { addresses: [world.host.address] },
      { addresses: ['172.16.5.2'] },
      { addresses: ['127.0.0.1'] },
      { addresses: ['2001:db8::1'] },
      { addresses: ['198.51.100.10 . tcp . 1-65535 }'] },
      { addresses: [world.website.address, world.lan.address] },
      { addresses: Array.from({ length: 65 }, (_, index) => `198.51.100.${index}`) },
    ];
    for (const lease of wrong) assert.deepEqual(await take(lease), [0], JSON.stringify(lease));
    assert.deepEqual(await holdings(), []);
    assert.deepEqual(await take({}), []);
    assert.equal((await holdings()).length, 1);
  });

  test('however many names a guest asks for, a VM holds 512 addresses', async () => {
    for (let start = 0; start < 600; start += 50) {
      const leases = Array.from({ length: 50 }, (_, index) => ({
        vmId: 'vm-00000004',
        generation,
        name: `n${start + index}.example.com`,
        addresses: [`203.0.113.${(start + index) % 250}`, `198.51.100.${(start + index) % 250}`],
        ttlSeconds: 60,
      }));
      assert.deepEqual(await networks.do({ do: 'take', slot: SLOT, leases }), []);
    }
    const held = await holdings();
    assert.equal(held.length, 512);
    const { stdout } = await lab.exec(
      [
        'ip',
        'netns',
        'exec',
        'vmsan-vm-00000004',
        'nft',
        'list',
        'set',
        'inet',
        'vmsan',
        'learned',
      ],
      { check: true },
    );
    const inKernel = new Set(stdout.match(/\d+\.\d+\.\d+\.\d+/g));
    assert.deepEqual(inKernel, new Set(held.map((each) => each.address)));
  });

  test('what an open flow uses is resolved again in time; what none does runs out', async () => {
    await setPolicy({ base: 'deny-all' });
    await setPolicy({ allowedDomains: [`*.example.com:${lines}`] });
    // The shortest there is: 30 seconds.
    assert.deepEqual(await take({ ttlSeconds: 0 }), []);
    assert.deepEqual(await take({ name: 'idle.example.com', addresses: ['192.0.2.77'] }), []);
    const of = async (name: string) =>
      (await holdings()).find((each) => each.name === name)?.expiresAtMs ?? 0;
    const before = [await of(world.allowed.name), await of('idle.example.com')];
    using conversation = await converse(networks, SLOT, address, lines);
    await until('its lease is longer', async () => (await of(world.allowed.name)) > before[0]!, {
      deadlineMs: 60_000,
    });
    await conversation.say('still here');
    assert.equal(await of('idle.example.com'), before[1]);
  });

  test('what names hold outlives the gate', async () => {
    using conversation = await converse(networks, SLOT, address, lines);
    await networks.do({ do: 'kill gate', slot: SLOT });
    await conversation.say('nobody noticed');
    using another = await converse(networks, SLOT, address, lines);
    await another.say('nor here');
    await until('names resolve again', async () =>
      new RegExp(`\\sA\\s${address}`).test(await resolve(world.allowed.name)),
    );
  });
});
