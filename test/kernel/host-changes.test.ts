import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { killGroup } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import { firstLine } from '../lab/machine.ts';
import { TREE } from '../lab/paths.ts';
import { addSecondUplink, type SecondUplink } from '../lab/second-uplink.ts';
import { until } from '../lab/until.ts';
import * as world from '../lab/world.ts';
import { WiredNetworks } from './wired/commands.ts';
import { fetch, lookUp } from './wired/programs.ts';

/** The watch looks every two seconds, on a busy machine later. */
const SOON = { deadlineMs: 30_000 };
const page = `http://${world.website.address}/`;
const SETTINGS =
  'ip -4 rule; cd /proc/sys/net/ipv4/conf && grep . */forwarding */rp_filter ../ip_forward';

describe('a host that is not simple, or changes while a VM runs', () => {
  let lab: Lab;
  let networks: WiredNetworks;
  let settingsBefore: string;

  before(async () => {
    lab = await Lab.start();
    await lab.assertNoWayOut();
    networks = await WiredNetworks.start(lab);
    settingsBefore = await sh(SETTINGS);
    await networks.add(1, 'allow-all');
  });
  after(async () => {
    await networks?.[Symbol.asyncDispose]();
    await lab?.stop();
  });

  const sh = async (script: string) =>
    (await lab.exec(['sh', '-ec', script], { check: true })).stdout;
  /** Under which address of the host's the internet sees the guest; none when it does not. */
  const seenAs = async (url = page) => {
    const { exitCode, stdout } = await fetch(networks, 1, url);
    return exitCode === 0 ? (JSON.parse(stdout) as { client: string }).client : '';
  };
  const isSeenAs = (address: string) =>
    until(`the guest is seen as ${address}`, async () => (await seenAs()) === address, SOON);
  const resolves = async (server = '172.16.1.1') =>
    (await lookUp(networks, 1, server, world.website.name)).includes(world.website.address);
  /** Once more under strict reverse paths, which is how many hosts are. */
  const strictly = async (body: () => Promise<void>) => {
    await sh('echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter');
    await body();
    await sh('echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter');
  };

  test('strict reverse paths, on every link', () =>
    strictly(async () => {
      assert.equal(await seenAs(), world.host.address);
      assert.ok(await resolves());
    }));

  describe('a VPN that comes while the VM runs', () => {
    let vpn: SecondUplink;

    const VPNS = {
      'in two halves of a default route, as OpenVPN': {
        up: () =>
          sh(`for half in 0.0.0.0/1 128.0.0.0/1; do
            ip route add $half via ${vpn.gateway} dev tun0; done`),
        down: () =>
          sh('for half in 0.0.0.0/1 128.0.0.0/1; do ip route delete $half dev tun0; done'),
      },
      'in a table of its own, by mark, as WireGuard’s wg-quick': {
        up: () =>
          sh(`ip route add default via ${vpn.gateway} dev tun0 table 51820
            ip rule add not fwmark 51820 table 51820
            ip rule add table main suppress_prefixlength 0`),
        down: () =>
          sh(`ip rule delete table main suppress_prefixlength 0
            ip rule delete not fwmark 51820 table 51820
            ip route delete default table 51820`),
      },
      'in a table before all others': {
        up: () =>
          sh(`ip route add default via ${vpn.gateway} dev tun0 table 200
            ip rule add preference 100 lookup 200`),
        down: () =>
          sh(`ip rule delete preference 100 lookup 200
            ip route delete default table 200`),
      },
    };

    before(async () => {
      vpn = await addSecondUplink(lab, 'tun0');
    });
    after(() => vpn?.[Symbol.asyncDispose]());

    for (const [how, { up, down }] of Object.entries(VPNS)) {
      test(`${how}: the VM goes where the host goes, and back`, () =>
        strictly(async () => {
          await up();
          await isSeenAs(vpn.address);
          // Nothing goes past it.
          const mark = await lab.mark();
          assert.equal(await seenAs(), vpn.address);
          assert.equal(await lab.packetsTo(world.website.address, { since: mark }), 0);
          assert.ok(await resolves());
          await down();
          await isSeenAs(world.host.address);
        }));
    }
  });

  test('two uplinks: each destination by its own, and both at once', async () => {
    await using second = await addSecondUplink(lab, 'eth1');
    await sh(`ip route add ${world.github.address} via ${second.gateway} dev eth1`);
    const other = `http://${world.github.address}/`;
    await until('by the other one', async () => (await seenAs(other)) === second.address, SOON);
    assert.equal(await seenAs(), world.host.address);
    await sh(`ip route add ${world.npm.address} nexthop via ${second.gateway} dev eth1 weight 1 \
        nexthop via ${world.router.address} dev eth0 weight 1`);
    const both = `http://${world.npm.address}/`;
    await until('by several', async () => (await seenAs(both)) !== '', SOON);
    const [first, again] = [await seenAs(both), await seenAs(both)];
    for (const address of [first, again]) {
      assert.ok([second.address, world.host.address].includes(address), address);
    }
  });

  test('resolv.conf changes: the next query goes where it says', async () => {
    assert.ok(await resolves());
    await sh(`echo 'nameserver ${world.otherResolver.address}' >/etc/resolv.conf`);
    const asked = async () => {
      const mark = await lab.mark();
      // What is cached asks nobody.
      await lookUp(networks, 1, '172.16.1.1', `x${Math.random()}.${world.website.name}`);
      const log = await lab.log(mark);
      return log.some(
        ({ server, address }) => server === 'dns' && address === world.otherResolver.address,
      );
    };
    await until('the other resolver is asked', asked, SOON);
  });

  test('systemd-resolved’s stub: VMs’ names resolve through it, and nothing else reaches it', async () => {
    const stub = lab.spawn([
      process.execPath,
      `${TREE}/test/lab/stub-resolver.ts`,
      world.resolver.address,
    ]);
    await firstLine(stub, 'the stub resolver');
    await sh("echo 'nameserver 127.0.0.53' >/etc/resolv.conf");
    const fresh = async () => {
      const answer = await lookUp(networks, 1, '172.16.1.1', world.names.text, ['TXT']);
      return answer.includes('hello from the lab');
    };
    await until('the stub is asked', fresh, SOON);
    assert.ok(!(await resolves('127.0.0.53')));
    killGroup(stub);
    await sh(`echo 'nameserver ${world.resolver.address}' >/etc/resolv.conf`);
  });

  test('a host that becomes a router for others goes on being one', async () => {
    await sh('echo 1 >/proc/sys/net/ipv4/ip_forward');
    const lent = async () =>
      /lent_links \{[^}]*elements/.test(await sh('nft list table inet vmsan'));
    await until('its links forward for others again', async () => !(await lent()), SOON);
    await networks.do({ do: 'remove', slot: 1 });
    assert.match(await sh(SETTINGS), /^eth0\/forwarding:1$/m);
    await sh('echo 0 >/proc/sys/net/ipv4/ip_forward');
    assert.equal(await sh(SETTINGS), settingsBefore);
  });

  test('every setting is as it was when the last VM goes', async () => {
    await networks.add(2, 'allow-all');
    assert.notEqual(await sh(SETTINGS), settingsBefore);
    await networks.do({ do: 'remove', slot: 2 });
    assert.equal(await sh(SETTINGS), settingsBefore);
  });
});
