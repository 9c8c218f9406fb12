import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { killGroup } from '../lab/command.ts';
import { firewalls, load, rulesOf, unload, type Firewall } from '../lab/firewalls.ts';
import { Lab } from '../lab/lab.ts';
import { firstLine } from '../lab/machine.ts';
import { TREE } from '../lab/paths.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { WiredNetworks } from './wired/commands.ts';
import { fetch, lookUp, ping } from './wired/programs.ts';

const PASS = /vmsan:(\w+)/g;
/** The watch looks every two seconds, on a busy machine later. */
const SOON = { deadlineMs: 30_000 };
const byAddress = `http://${world.website.address}/`;

describe('beside other firewalls', () => {
  let lab: Lab;
  let networks: WiredNetworks;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    networks = await WiredNetworks.start(lab);
  });
  after(async () => {
    await networks?.[Symbol.asyncDispose]();
    await lab?.stop();
  });
  beforeEach(() => unload(lab));

  /** Forwarded, resolved at the gate, and through its proxy. */
  const expectAll = async () => {
    const page = await fetch(networks, 1, byAddress);
    assert.equal(page.exitCode, 0, page.stderr);
    const answer = await lookUp(networks, 1, '172.16.1.1', world.website.name);
    assert.match(answer, new RegExp(`\\sA\\s${world.website.address}`));
    const proxied = await networks.exec(2, [
      ...['curl', '-sS', '-m', '5', '--resolve', `${world.github.name}:80:${world.github.address}`],
      `http://${world.github.name}/`,
    ]);
    assert.equal(proxied.exitCode, 0, proxied.stderr);
  };
  /** Guest 1 may all, guest 2 one name. */
  const addBoth = async () => {
    await networks.add(1, 'allow-all');
    await networks.add(2, { allowedDomains: [world.github.name] });
  };
  const remove = (slot: number) => networks.do({ do: 'remove', slot });
  const withBoth = async (body: () => Promise<void>) => {
    await addBoth();
    try {
      await body();
    } finally {
      await remove(1);
      await remove(2);
    }
  };
  const works = () =>
    expectAll().then(
      () => true,
      () => false,
    );
  const passes = async () =>
    [...(await rulesOf(lab)).matchAll(PASS)].map(([, name = '']) => name).sort();

  const all: Firewall[] = Object.values(firewalls);
  for (const some of [...all.map((one) => [one]), all]) {
    const names = some.map(({ name }) => name).join(', ');
    test(`${names}: VMs work, and its rules are as before when they go`, async () => {
      await load(lab, ...some);
      const found = await rulesOf(lab);
      await withBoth(async () => {
        await expectAll();
        assert.notDeepEqual(await passes(), []);
        // A pass is added, nothing is changed.
        const now = (await rulesOf(lab)).split('\n');
        for (const line of found.split('\n')) assert.ok(now.includes(line), line);
      });
      assert.equal(await rulesOf(lab), found);
    });
  }

  test('two VMs have one pass of each kind, and keep it when one goes', async () => {
    await load(lab, firewalls.docker);
    await addBoth();
    const one = ['inward', 'outward', 'published'];
    assert.deepEqual(await passes(), one);
    await remove(2);
    assert.deepEqual(await passes(), one);
    await remove(1);
    assert.deepEqual(await passes(), []);
  });

  test('a firewall that comes later, is reloaded, or takes all rules away, is noticed', async () => {
    await withBoth(async () => {
      await load(lab, firewalls.firewalld);
      await until('VMs work beside a firewall that came', works, SOON);
      await load(lab, firewalls.firewalld);
      await until('and after its reload', works, SOON);
      await lab.exec(['nft', 'flush', 'ruleset'], { check: true });
      await until(
        'our table is back',
        async () => /^table inet vmsan /m.test(await rulesOf(lab)),
        SOON,
      );
      await expectAll();
    });
    assert.equal((await lab.exec(['nft', 'list', 'ruleset'])).stdout, '');
  });

  test('a published port answers beside them', async () => {
    await load(lab, firewalls.ufw, firewalls.docker, firewalls.firewalld, firewalls.own);
    await withBoth(async () => {
      const ports = ['8080:80'];
      await networks.do({ do: 'publish', slot: 1, ports, policy: 'allow-all', generation: 2 });
      const argv = [process.execPath, `${TREE}/test/kernel/wired/serve.ts`, '80'];
      const server = networks.spawn(1, argv);
      await firstLine(server, 'the server in the guest');
      const question = [{ address: world.host.address, port: 8080 }];
      const ask = `${TREE}/test/kernel/wired/ask.ts`;
      const asked = await lab.internetExec([process.execPath, ask, JSON.stringify(question)]);
      killGroup(server);
      assert.match(asked.stdout, new RegExp(world.router.address), asked.stderr);
    });
  });

  test('what a firewall says of some packets still holds', async () => {
    await load(lab, firewalls.docker, firewalls.firewalld);
    const drop = `iptables-nft -I DOCKER-USER -d ${world.website.address} -j REJECT
      nft insert rule inet firewalld filter_FORWARD ip daddr ${world.npm.address} reject`;
    await lab.exec(['sh', '-c', drop], { check: true });
    await withBoth(async () => {
      const mark = await lab.mark();
      for (const { address } of [world.website, world.npm]) {
        assert.equal((await fetch(networks, 1, `http://${address}/`)).exitCode, 7, address);
        assert.equal(await lab.packetsTo(address, { since: mark }), 0);
      }
      assert.equal((await fetch(networks, 1, `http://${world.github.address}/`)).exitCode, 0);
    });
  });

  test('a pass lets nothing past our own rules', async () => {
    await load(lab, firewalls.ufw, firewalls.firewalld);
    await withBoth(async () => {
      await using listener = await lab.listenOnHost(8000);
      const forbidden = [
        ...[`http://${world.host.address}:8000/`, 'http://10.200.0.1:8000/'],
        ...['http://172.16.2.2/', `http://${world.metadata.address}/`],
      ];
      for (const url of forbidden) {
        assert.notEqual((await fetch(networks, 1, url)).exitCode, 0, url);
      }
      const route = ['ip', 'route', 'add', '172.16.0.0/16', 'via', world.host.address];
      await lab.internetExec(route, { check: true });
      const probe = await lab.internetExec(['ping', '-c1', '-W1', '172.16.1.2']);
      await lab.internetExec(route.with(2, 'delete'), { check: true });
      assert.notEqual(probe.exitCode, 0);
      assert.deepEqual(await listener.log(), []);
    });
  });

  test('a kill switch: what may leave by a tunnel alone does not leave without it', async () => {
    await load(lab, { name: 'a kill switch', load: KILL_SWITCH });
    const found = await rulesOf(lab);
    await withBoth(async () => {
      const mark = await lab.mark();
      assert.equal(await ping(networks, 1, world.website.address), 'silent');
      assert.equal(await lab.packetsTo(world.website.address, { since: mark }), 0);
      const answer = await lookUp(networks, 1, '172.16.1.1', world.website.name);
      assert.match(answer, new RegExp(`\\sA\\s${world.website.address}`));
      assert.deepEqual(await passes(), ['answering', 'asking', 'inward', 'published']);
    });
    assert.equal(await rulesOf(lab), found);
  });

  test('passes that a crash left are removed', async () => {
    await load(lab, firewalls.docker);
    const found = await rulesOf(lab);
    await addBoth();
    await networks[Symbol.asyncDispose]();
    assert.notEqual(await rulesOf(lab), found);
    networks = await WiredNetworks.start(lab);
    await networks.do({ do: 'adopt none', slot: 0 });
    assert.equal(await rulesOf(lab), found);
  });
});

/** Nothing goes out but through the tunnel, as in wg-quick(8), and as ufw's users write it for what they route. */
const KILL_SWITCH = `
iptables-nft -P FORWARD DROP
iptables-nft -A FORWARD -o tun0 -j ACCEPT
iptables-nft -P INPUT DROP
iptables-nft -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables-nft -A INPUT -i lo -j ACCEPT
iptables-nft -I OUTPUT ! -o tun0 -d 172.16.0.0/12 -m mark ! --mark 0xca6c -m addrtype ! --dst-type LOCAL -j REJECT`;
