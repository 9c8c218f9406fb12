import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { UNLIMITED, type Bandwidth } from '../../src/policy/bandwidth.ts';
import { Lab } from '../lab/lab.ts';
import * as world from '../lab/world.ts';
import { WiredNetworks } from './wired/commands.ts';
import { fetch, lookUp, ping } from './wired/programs.ts';

/** A discipline as `tc -s -j` prints it; rates are bytes a second. */
interface Discipline {
  kind: string;
  options: { rate?: number; burst?: number };
  bytes: number;
}

const NETNS = 'vmsan-vm-00000001';
const PAGE = `http://${world.website.address}/bytes/200000`;

describe('the bandwidth of a VM', () => {
  let lab: Lab;
  let networks: WiredNetworks;
  let unlimited: [string, string];

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    networks = await WiredNetworks.start(lab);
    await networks.add(2, 'allow-all');
    unlimited = [await kind('up0', 2), await kind('tap0', 2)];
    await networks.add(1, 'allow-all', { bandwidth: { out: 50_000_000, in: null } });
  });
  after(async () => {
    await networks?.[Symbol.asyncDispose]();
    await lab?.stop();
  });

  const limit = (bandwidth: Bandwidth) => networks.do({ do: 'bandwidth', slot: 1, bandwidth });

  async function discipline(link: string, slot = 1): Promise<Discipline> {
    const argv = ['tc', '-netns', `vmsan-vm-0000000${slot}`, '-s', '-j', 'qdisc', 'show'];
    const { stdout } = await lab.exec([...argv, 'dev', link, 'root'], { check: true });
    return (JSON.parse(stdout) as Discipline[])[0]!;
  }
  const kind = async (link: string, slot = 1) => (await discipline(link, slot)).kind;
  /** The rate of a link in bits a second; null when it has none. */
  async function rate(link: string): Promise<number | null> {
    const { kind: name, options } = await discipline(link);
    return name === 'tbf' ? (options.rate ?? 0) * 8 : null;
  }

  /** What the host has received from the VM. */
  async function received(): Promise<{ bytes: number; packets: number }> {
    const { stdout } = await lab.exec(['ip', '-s', '-j', 'link', 'show', 'vm-00000001']);
    const [link] = JSON.parse(stdout) as { stats64: { rx: { bytes: number; packets: number } } }[];
    const { bytes, packets } = link!.stats64.rx;
    return { bytes, packets };
  }

  /** Sends so much to the internet's echo server, and hears it back. */
  async function upload(bytes: number): Promise<void> {
    const { address } = world.website;
    const script = `const socket = require('node:net').connect(${world.ports.echo}, '${address}');
      let left = ${bytes};
      socket.on('data', (chunk) => (left -= chunk.length) > 0 || process.exit(0));
      socket.on('close', () => process.exit(1));
      socket.write(Buffer.alloc(left));`;
    await networks.exec(1, [process.execPath, '-e', script], { check: true });
  }

  test('a limit is there from the first frame on, and on its own side alone', async () => {
    assert.deepEqual([await rate('up0'), await rate('tap0')], [50_000_000, null]);
    const { bytes } = await discipline('up0');
    assert.equal((await received()).bytes, bytes);
  });

  test('what leaves is counted to the byte, however large the pieces are that the guest sends', async () => {
    const [counted, before] = [await discipline('up0'), await received()];
    await upload(2_000_000);
    const [now, after] = [await discipline('up0'), await received()];
    assert.ok(now.bytes - counted.bytes > 2_000_000 * (1 + 54 / 1500));
    assert.equal(after.bytes - before.bytes, now.bytes - counted.bytes);
    assert.ok(after.packets - before.packets > 2_000_000 / 1500, 'as frames');
  });

  test('it changes while traffic flows, each side by itself; twice is once', async () => {
    const table: Bandwidth[] = [
      { out: 1_000_000, in: null },
      { out: null, in: 5_000_000 },
      { out: 1_000_000_000, in: 64_000 },
      { out: 200_000_000, in: 100_000_000 },
    ];
    for (const bandwidth of [...table, ...table.slice(-1)]) {
      await limit(bandwidth);
      const is = { out: await rate('up0'), in: await rate('tap0') };
      assert.deepEqual(is, bandwidth);
    }
    assert.equal((await fetch(networks, 1, PAGE)).exitCode, 0);
    assert.equal(await ping(networks, 1, world.website.address), 'answered');
  });

  test('downloads are the TAP’s, proxied traffic and lookups too', async () => {
    await networks.do({
      do: 'policy',
      slot: 1,
      policy: { allowedDomains: [world.allowed.name] },
      generation: 2,
    });
    assert.equal(await rate('up0'), 200_000_000, 'a change of policy leaves it alone');
    const before = [await discipline('up0'), await discipline('tap0')];
    await lookUp(networks, 1, '172.16.1.1', world.allowed.name);
    const asked = await discipline('up0');
    assert.ok(asked.bytes > before[0]!.bytes, 'the question');
    const address = ['--resolve', `${world.allowed.name}:80:${world.allowed.address}`];
    const url = `http://${world.allowed.name}/bytes/300000`;
    const argv = ['curl', '-sS', '-m', '20', '-o', '/dev/null', ...address, url];
    await networks.exec(1, argv, { check: true });
    assert.ok((await discipline('up0')).bytes > asked.bytes, 'the request');
    assert.ok((await discipline('tap0')).bytes > before[1]!.bytes + 300_000, 'the answer');
  });

  test('none takes it away, wholly; twice is once', async () => {
    for (let time = 0; time < 2; time += 1) {
      await limit(UNLIMITED);
      assert.deepEqual([await kind('up0'), await kind('tap0')], unlimited);
    }
    const { stdout } = await lab.exec(['ip', '-netns', NETNS, '-d', 'link'], { check: true });
    assert.doesNotMatch(stdout, /gso_max_size 1514 /);
  });
});
